/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cella-img --connector`: the helper of block/connector.h. */
#pragma once

/* Answers on descriptor 3 until its other end is closed. Returns an exit status. */
int img_connector(void);
