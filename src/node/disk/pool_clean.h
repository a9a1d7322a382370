/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Removes what was not whole when the daemon ended: files and folders of POOL_PART and POOL_WORK that
 * are named by a uid. Nothing else in the folder is touched, and no link is followed. */
void pool_clean(const char *path);

/* Removes a folder with all that is in it, no link followed. Negative errno of what could not be. */
int pool_remove_tree(const char *path);
