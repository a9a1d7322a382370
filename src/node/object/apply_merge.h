/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <jansson.h>

/*
 * What is stored with what a document says over it: members of objects one by one, null takes one
 * away. Lists are the document's, but an object in a list keeps what the stored one at its place has
 * beside (such as the address that a network card was given). New reference, nothing shared; NULL: no
 * memory.
 */
json_t *apply_merge(const json_t *stored, const json_t *said);
