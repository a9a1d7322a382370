/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/fd.h"

#define ANSWER_MAX      (256u << 20)
#define CONNECT_SECONDS 10L

bool client_is_local(const struct client *client)
{
	return !strstr(client->server.address, "://");
}

const char *client_host(const struct client *client)
{
	const char *site = strstr(client->server.address, "://");

	return client_is_local(client) || !site ? "cella" : site + 3;
}

#define set_option(client, option, value)                                                          \
	(client)->library.easy_setopt((client)->curl, option, value)

/* What holds for every request. */
static void prepare(struct client *client)
{
	const struct server *server = &client->server;

	client->library.easy_reset(client->curl);
	set_option(client, CURLOPT_ERRORBUFFER, client->failure);
	set_option(client, CURLOPT_NOSIGNAL, 1L);
	set_option(client, CURLOPT_CONNECTTIMEOUT, client->connect_seconds);
	set_option(client, CURLOPT_PROTOCOLS_STR, "http,https");
	set_option(client, CURLOPT_USERAGENT, "cella/" CELLA_VERSION);
	set_option(client, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	/* A session lives as long as the command. */
	set_option(client, CURLOPT_COOKIEFILE, "");
	if (client_is_local(client)) {
		set_option(client, CURLOPT_UNIX_SOCKET_PATH, server->address);
		return;
	}
	set_option(client, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	if (client->ca_fd >= 0) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", client->ca_fd);
		set_option(client, CURLOPT_CAINFO, path);
	}
}

/* The library's GnuTLS takes trusted certificates from files only. */
static int keep_certificates(struct client *client, struct err *err)
{
	const char *pem = client->server.certificates;
	int rc;

	if (!pem)
		return 0;
	client->ca_fd = memfd_create("cella-certificates", MFD_CLOEXEC);
	rc = client->ca_fd < 0 ? -errno : fd_write_all(client->ca_fd, pem, strlen(pem));
	return rc ? err_errno(err, rc, "cannot keep the server's certificate") : 0;
}

int client_open(struct client *client, const char *context, struct err *err)
{
	*client = (struct client){ .ca_fd = -1, .connect_seconds = CONNECT_SECONDS };
	if (server_find(context, &client->server, err) || keep_certificates(client, err))
		return EXIT_FAILED;
	if (http_library_open(&client->library, err))
		return EXIT_FAILED;
	client->curl = client->library.easy_init();
	if (!client->curl) {
		err_errno(err, ENOMEM, "cannot ask the server");
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

void client_close(struct client *client)
{
	if (client->headers)
		client->library.slist_free_all(client->headers);
	if (client->curl)
		client->library.easy_cleanup(client->curl);
	http_library_close(&client->library);
	if (client->ca_fd >= 0)
		close(client->ca_fd);
	server_fini(&client->server);
}

void answer_fini(struct answer *answer)
{
	json_decref(answer->json);
	str_fini(&answer->text);
}

struct transfer {
	struct client *client;
	const struct call_options *options;
	struct answer *answer;
	uint64_t uploaded;
};

static unsigned status_of(struct client *client)
{
	long status = 0;

	client->library.easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	return (unsigned)status;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
	struct transfer *transfer = ctx;
	struct answer *answer = transfer->answer;

	if (transfer->options->received && status_of(transfer->client) < 300)
		return transfer->options->received(transfer->options->ctx, bytes, size * count)
			       ? size * count
			       : 0;
	if (answer->text.length + size * count > ANSWER_MAX)
		return 0;
	str_add_bytes(&answer->text, bytes, size * count);
	return answer->text.failed ? 0 : size * count;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *ctx)
{
	struct transfer *transfer = ctx;
	static const char name[] = "etag:";
	const char *value = bytes + strlen(name);
	size_t length = size * count;

	if (length > strlen(name) && !strncasecmp(bytes, name, strlen(name))) {
		length -= strlen(name);
		while (length && strchr(" \r\n", value[length - 1]))
			length--;
		while (length && *value == ' ') {
			value++;
			length--;
		}
		snprintf(transfer->answer->etag, sizeof(transfer->answer->etag), "%.*s",
			 (int)length, value);
	}
	return size * count;
}

static size_t give_body(char *bytes, size_t size, size_t count, void *ctx)
{
	struct transfer *transfer = ctx;
	ssize_t got = read(transfer->options->upload_fd, bytes, size * count);

	if (got < 0)
		return CURL_READFUNC_ABORT;
	transfer->uploaded += (uint64_t)got;
	if (transfer->options->uploaded)
		transfer->options->uploaded(transfer->options->ctx, transfer->uploaded);
	return (size_t)got;
}

static void add_header(struct client *client, const char *name, const char *value)
{
	struct str line = { 0 };

	str_printf(&line, "%s: %s", name, value);
	if (!line.failed)
		client->headers = client->library.slist_append(client->headers, line.text);
	str_fini(&line);
}

static void add_headers(struct client *client, const struct call_options *options)
{
	struct str bearer = { 0 };
	bool patch = !strcmp(options->method, "PATCH");

	if (client->headers)
		client->library.slist_free_all(client->headers);
	client->headers = NULL;
	/* Answers that begin late are no reason to hold a body back. */
	add_header(client, "Expect", "");
	if (options->upload_fd > 0)
		add_header(client, "Content-Type", "application/octet-stream");
	else if (options->body || options->text)
		add_header(client, "Content-Type",
			   patch ? "application/merge-patch+json" : "application/json");
	if (options->if_match)
		add_header(client, "If-Match", options->if_match);
	if (options->content_range)
		add_header(client, "Content-Range", options->content_range);
	if (client->server.token) {
		str_printf(&bearer, "Bearer %s", client->server.token);
		add_header(client, "Authorization", bearer.text ? bearer.text : "");
	}
	str_fini(&bearer);
	set_option(client, CURLOPT_HTTPHEADER, client->headers);
}

/* Exit codes by what the server says. */
static int code_of(unsigned status)
{
	if (status < 400)
		return EXIT_DONE;
	if (status == 401 || status == 403)
		return EXIT_NOT_ALLOWED;
	return status == 404 ? EXIT_NOT_FOUND : EXIT_REFUSED;
}

int client_take_error(const json_t *error, const char *before, const char *none, struct err *err)
{
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));

	err_set(err, EREMOTEIO, "%s%s%s", before, *before ? ": " : "", message ? message : none);
	if (hint && *hint)
		err_hint(err, "%s", hint);
	str_make_plain(err->text);
	str_make_plain(err->hint);
	return -EREMOTEIO;
}

/* Whether the words name the field already: "spec: 'memory': must be …" of "spec.memory". */
static bool names_field(const char *message, const char *field)
{
	const char *dot = strrchr(field, '.');
	const char *last = dot ? dot + 1 : field;
	size_t length = strlen(last);

	for (const char *at = strstr(message, last); at; at = strstr(at + 1, last)) {
		if ((at == message && at[length] == ':') ||
		    (at > message && at[-1] == '\'' && at[length] == '\''))
			return true;
	}
	return false;
}

static int explain(const struct answer *answer, struct err *err)
{
	const json_t *error = json_object_get(answer->json, "error");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *field = json_string_value(json_object_get(error, "field"));

	if (!field || !*field || (message && names_field(message, field)))
		field = "";
	client_take_error(error, field, "the server refused without a reason", err);
	if (!message)
		err_hint(err, "it answered with status %u", answer->status);
	else if (answer->status == 401)
		err_hint(err, "sign in with 'cella login'");
	return code_of(answer->status);
}

static int not_reached(struct client *client, CURLcode rc, struct err *err)
{
	const char *reason = *client->failure ? client->failure : client->library.easy_strerror(rc);
	const char *address = client->server.address;
	long code = 0;

	client->library.easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &code);
	/* The library's words are about a host and a port. */
	if (client_is_local(client) && code)
		err_errno(err, (int)code, "cannot reach the server at '%s'", address);
	else
		err_set(err, ECONNREFUSED, "cannot reach the server at '%s': %s", address, reason);
	if (client_is_local(client))
		err_hint(
			err,
			"is cellad running? CELLA_SOCKET, --context and 'cella context' say where");
	else if (rc == CURLE_PEER_FAILED_VERIFICATION)
		err_hint(err, "add the context anew if its certificate was changed");
	return EXIT_NO_SERVER;
}

static CURLcode perform(struct client *client, const char *path, const struct call_options *options,
			struct transfer *transfer)
{
	AUTO_FREE char *body = options->body ? json_dumps(options->body, JSON_COMPACT) : NULL;
	const char *text = body ? body : options->text;
	struct str url = { 0 };
	CURLcode rc;

	str_printf(&url, "%s%s", client_is_local(client) ? "http://cella" : client->server.address,
		   path);
	prepare(client);
	add_headers(client, options);
	set_option(client, CURLOPT_URL, url.text);
	set_option(client, CURLOPT_CUSTOMREQUEST, options->method);
	set_option(client, CURLOPT_WRITEFUNCTION, take_body);
	set_option(client, CURLOPT_WRITEDATA, transfer);
	set_option(client, CURLOPT_HEADERFUNCTION, take_header);
	set_option(client, CURLOPT_HEADERDATA, transfer);
	if (!strcmp(options->method, "HEAD"))
		set_option(client, CURLOPT_NOBODY, 1L);
	if (text) {
		set_option(client, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
		set_option(client, CURLOPT_POSTFIELDS, text);
	} else if (options->upload_fd > 0) {
		set_option(client, CURLOPT_UPLOAD, 1L);
		set_option(client, CURLOPT_INFILESIZE_LARGE, (curl_off_t)options->upload_bytes);
		set_option(client, CURLOPT_READFUNCTION, give_body);
		set_option(client, CURLOPT_READDATA, transfer);
	}
	rc = client->library.easy_perform(client->curl);
	str_fini(&url);
	return rc;
}

int client_call(struct client *client, const char *path, const struct call_options *options,
		struct answer *ret_answer, struct err *err)
{
	struct transfer transfer = { .client = client, .options = options, .answer = ret_answer };
	CURLcode rc;

	*ret_answer = (struct answer){ 0 };
	*client->failure = '\0';
	rc = perform(client, path, options, &transfer);
	ret_answer->status = status_of(client);
	if (ret_answer->text.length)
		ret_answer->json = json_loadb(ret_answer->text.text, ret_answer->text.length,
					      JSON_DECODE_ANY, NULL);
	/* Who did not take the rest has what it wanted. An answer may come before all was sent. */
	if (rc && !(rc == CURLE_WRITE_ERROR && options->received) && ret_answer->status < 400)
		return not_reached(client, rc, err);
	return ret_answer->status >= 400 ? explain(ret_answer, err) : EXIT_DONE;
}

int client_get(struct client *client, const char *path, json_t **ret_json, struct err *err)
{
	const struct call_options options = { .method = "GET" };
	struct answer answer;
	int code = client_call(client, path, &options, &answer, err);

	if (!code && !answer.json) {
		err_set(err, EPROTO, "the server's answer is not JSON");
		code = EXIT_REFUSED;
	}
	if (!code)
		*ret_json = json_incref(answer.json);
	answer_fini(&answer);
	return code;
}

int client_connect(struct client *client, int *ret_fd, struct err *err)
{
	curl_socket_t fd;
	CURLcode rc;

	*client->failure = '\0';
	prepare(client);
	set_option(client, CURLOPT_URL,
		   client_is_local(client) ? "http://cella" : client->server.address);
	set_option(client, CURLOPT_CONNECT_ONLY, 1L);
	rc = client->library.easy_perform(client->curl);
	if (!rc)
		rc = client->library.easy_getinfo(client->curl, CURLINFO_ACTIVESOCKET, &fd);
	if (rc)
		return not_reached(client, rc, err);
	*ret_fd = fd;
	return EXIT_DONE;
}
