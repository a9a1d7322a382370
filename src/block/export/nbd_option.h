/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An option of the handshake, between the loop that takes it and the code that does it. */
#pragma once

#include "block/export/nbd_priv.h"
#include "block/export/nbd_proto.h"

struct nbd_option_request {
	uint32_t option;
	const uint8_t *data; /* what is left of it … */
	uint32_t bytes;
};

/* A text in an option's data; not ended by NUL. */
struct nbd_text {
	const char *text;
	uint32_t length;
};

/* Take the next part off the data; false if it is too short. */
bool nbd_take_u16(struct nbd_option_request *request, uint16_t *ret_value);
bool nbd_take_u32(struct nbd_option_request *request, uint32_t *ret_value);
bool nbd_take_text(struct nbd_option_request *request, struct nbd_text *ret_text);

/* Sends a reply to the option. `head` and `tail` make up its data. */
int nbd_option_reply(struct nbd_connection *connection, uint32_t option, uint32_t type,
		     struct iovec head, struct iovec tail);
/* The reply without data: an acknowledgement or an error. */
int nbd_option_end(struct nbd_connection *connection, uint32_t option, uint32_t type);

/* The export of that name; NULL: none. */
struct nbd_disk *nbd_find_disk(struct nbd_server *server, struct nbd_text name);
uint16_t nbd_export_flags(const struct nbd_connection *connection, const struct nbd_disk *disk);

/* Options by their code: 0 goes on, 1 begins transmission, negative ends the connection. */
int nbd_option_list(struct nbd_connection *connection, struct nbd_option_request *request);
int nbd_option_info(struct nbd_connection *connection, struct nbd_option_request *request);
int nbd_option_contexts(struct nbd_connection *connection, struct nbd_option_request *request);
