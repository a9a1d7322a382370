/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sheets are imported for what they do, not for what they say. */
declare module '*.css';
