/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling whoever started the daemon that it answers. */
#pragma once

/*
 * Tells systemd, if that is who asked.
 *
 * Spec: sd_notify(3), "Notes": a datagram to the socket that $NOTIFY_SOCKET names.
 */
void ready_notify(void);
