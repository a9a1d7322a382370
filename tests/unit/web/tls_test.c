/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLS, limits and files of the HTTP server. */
#include <signal.h>

#include "app.h"

static void app_new(struct app **ret_app, struct web_config config)
{
	*ret_app = calloc(1, sizeof(**ret_app));
	config.workers = 2;
	app_start(*ret_app, config);
}

static void app_free(struct app *app)
{
	app_stop(app);
	free(app);
}

static void get(struct client *client, const char *path, const char *fields, struct reply *reply)
{
	char text[512];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, fields);
	client_ask(client, text, reply);
}

static void tls_below_1_3_is_refused(void **state)
{
	struct app *app;
	struct client client;
	struct reply reply;

	(void)state;
	app_new(&app, (struct web_config){ 0 });
	assert_false(client_connect_tls(&client, app->port, NULL, TLS1_2_VERSION));
	client_close(&client);
	assert_true(client_connect_tls(&client, app->port, NULL, TLS1_3_VERSION));
	get(&client, "/hello", "", &reply);
	assert_string_equal(reply.body, "hello");
	reply_free(&reply);
	client_close(&client);
	app_free(app);
}

static void client_in_the_clear_is_not_answered(void **state)
{
	struct app *app;
	struct client client;

	(void)state;
	app_new(&app, (struct web_config){ 0 });
	client_connect_tcp(&client, app->port);
	client_say(&client, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	while (client_receive(&client))
		;
	assert_true(!client.in.text || !strstr(client.in.text, "hello"));
	client_close(&client);
	app_free(app);
}

/* What the server says of a client with the certificate `name`; caller frees. */
static char *who(const struct app *app, const char *name)
{
	struct client client;
	struct reply reply;
	char pem[128];

	snprintf(pem, sizeof(pem), "%s/%s", app->folder, name);
	app_certificate(pem, name);
	assert_true(client_connect_tls(&client, app->port, pem, 0));
	get(&client, "/who", "", &reply);
	client_close(&client);
	free(reply.head);
	return reply.body;
}

static void certificate_of_a_client_is_told_by_its_fingerprint(void **state)
{
	struct app *app;
	struct client client;
	struct reply reply;
	unsigned uid;
	char digest[80];
	char subject[80];
	char *said;

	(void)state;
	app_new(&app, (struct web_config){ 0 });
	said = who(app, "alice");
	assert_int_equal(sscanf(said, "0 %u %79s %79s", &uid, digest, subject), 3);
	assert_int_equal(uid, UINT32_MAX);
	assert_int_equal(strlen(digest), 64);
	assert_string_equal(subject, "alice");
	free(said);
	said = who(app, "old");
	assert_string_equal(said, "0 4294967295  ");
	free(said);
	assert_true(client_connect_tls(&client, app->port, NULL, 0));
	get(&client, "/who", "", &reply);
	assert_string_equal(reply.body, "0 4294967295  ");
	reply_free(&reply);
	client_close(&client);
	app_free(app);
}

static void certificate_that_the_ca_did_not_sign_counts_as_none(void **state)
{
	char ca[] = "/tmp/cella-ca-XXXXXX";
	struct app *app;
	struct client client;
	struct reply reply;
	char *said;

	(void)state;
	close(mkstemp(ca));
	app_certificate(ca, "ca");
	app_new(&app, (struct web_config){ .client_ca = ca });
	said = who(app, "mallory");
	assert_string_equal(said, "0 4294967295  ");
	free(said);
	/* The signer itself stands for what it signed. */
	assert_true(client_connect_tls(&client, app->port, ca, 0));
	get(&client, "/who", "", &reply);
	assert_non_null(strstr(reply.body, " ca"));
	reply_free(&reply);
	client_close(&client);
	app_free(app);
	unlink(ca);
}

/* Who the server says that it is. */
static void server_name(struct client *client, char ret_name[64])
{
	X509 *certificate = SSL_get1_peer_certificate(client->tls);

	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, ret_name, 64);
	X509_free(certificate);
}

static void certificate_that_was_renewed_is_for_who_comes_next(void **state)
{
	struct web_config config = { 0 };
	struct app *app;
	struct client before, after;
	struct reply reply;
	char name[64], path[128];

	(void)state;
	app_new(&app, (struct web_config){ 0 });
	assert_true(client_connect_tls(&before, app->port, NULL, 0));
	snprintf(path, sizeof(path), "%s/renewed", app->folder);
	config.certificate = config.key = path;
	assert_true(web_renew_tls(app->web, &config, NULL) < 0);
	assert_true(client_connect_tls(&after, app->port, NULL, 0));
	server_name(&after, name);
	assert_string_not_equal(name, "renewed");
	client_close(&after);
	app_certificate(path, "renewed");
	assert_int_equal(web_renew_tls(app->web, &config, NULL), 0);
	assert_true(client_connect_tls(&after, app->port, NULL, 0));
	server_name(&after, name);
	assert_string_equal(name, "renewed");
	get(&before, "/hello", "", &reply);
	assert_string_equal(reply.body, "hello");
	reply_free(&reply);
	client_close(&before);
	client_close(&after);
	app_free(app);
}

static void files_that_cannot_be_used_are_told(void **state)
{
	static const char *const listen[] = { "127.0.0.1:0", NULL };
	static const char *const nowhere[] = { "127.0.0.1", NULL };
	char pem[] = "/tmp/cella-pem-XXXXXX";
	const struct {
		struct web_config config;
		const char *text;
	} rows[] = {
		{ { .listen = listen, .certificate = "/nowhere", .key = pem },
		  "certificate '/nowhere'" },
		{ { .listen = listen, .certificate = pem, .key = "/nowhere" }, "key '/nowhere'" },
		{ { .listen = listen, .certificate = pem, .key = pem, .client_ca = "/nowhere" },
		  "'/nowhere'" },
		{ { .listen = nowhere, .certificate = pem, .key = pem }, "no address and port" },
		{ { .files = "/nowhere" }, "folder '/nowhere'" },
	};
	static const struct web_ops ops = { .request = app_request };

	(void)state;
	close(mkstemp(pem));
	app_certificate(pem, "server");
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		struct web *web;

		assert_true(web_start(&web, &rows[i].config, &ops, NULL, &err) < 0);
		if (!strstr(err.text, rows[i].text))
			fail_msg("%s", err.text);
	}
	unlink(pem);
}

/* Takes a place until app_answer(). */
static void keep_busy(struct app *app, struct client *client)
{
	client_say(client, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->later);
	pthread_mutex_unlock(&app->lock);
}

static void idle_client_makes_room_for_a_new_one(void **state)
{
	struct app *app;
	struct client first;
	struct client second;
	struct client third;
	struct reply reply;

	(void)state;
	app_new(&app, (struct web_config){ .clients_max = 2, .address_clients_max = 8 });
	assert_true(client_connect_tls(&first, app->port, NULL, 0));
	get(&first, "/hello", "", &reply);
	reply_free(&reply);
	assert_true(client_connect_tls(&second, app->port, NULL, 0));
	keep_busy(app, &second);
	assert_true(client_connect_tls(&third, app->port, NULL, 0));
	get(&third, "/hello", "", &reply);
	assert_string_equal(reply.body, "hello");
	reply_free(&reply);
	assert_true(client_sees_end(&first));
	app_answer(app, "busy");
	client_read(&second, &reply);
	assert_string_equal(reply.body, "busy");
	reply_free(&reply);
	client_close(&first);
	client_close(&second);
	client_close(&third);
	app_free(app);
}

static void client_of_the_socket_gets_in_when_all_places_are_taken(void **state)
{
	struct app *app;
	struct client remote;
	struct client local;
	struct client other;
	struct reply reply;

	(void)state;
	app_new(&app, (struct web_config){ .clients_max = 1, .address_clients_max = 8 });
	assert_true(client_connect_tls(&remote, app->port, NULL, 0));
	keep_busy(app, &remote);
	assert_false(client_connect_tls(&other, app->port, NULL, 0));
	client_connect(&local, app->socket_path);
	get(&local, "/hello", "", &reply);
	assert_string_equal(reply.body, "hello");
	reply_free(&reply);
	app_answer(app, "busy");
	client_close(&remote);
	client_close(&local);
	client_close(&other);
	app_free(app);
}

static void one_address_does_not_take_all_connections(void **state)
{
	struct app *app;
	struct client first;
	struct client second;
	struct client third;
	struct reply reply;

	(void)state;
	app_new(&app, (struct web_config){ .clients_max = 4, .address_clients_max = 1 });
	assert_true(client_connect_tls(&first, app->port, NULL, 0));
	assert_false(client_connect_tls(&second, app->port, NULL, 0));
	client_connect(&third, app->socket_path);
	get(&third, "/hello", "", &reply);
	assert_string_equal(reply.body, "hello");
	reply_free(&reply);
	client_close(&first);
	client_close(&second);
	client_close(&third);
	app_free(app);
}

static void write_file(const struct app *app, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", app->folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void files_are_sent_with_their_types(void **state)
{
	static const struct {
		const char *path, *fields;
		unsigned status;
		const char *type, *body;
	} rows[] = {
		{ "/", "Accept: text/html,*/*;q=0.8\r\n", 200, "text/html; charset=utf-8", "<p>" },
		{ "/", "Accept: */*\r\n", 404, "text/plain", "no /" },
		{ "/", "", 404, "text/plain", "no /" },
		{ "/index.html", "", 200, "text/html; charset=utf-8", "<p>" },
		{ "/app.js", "", 200, "text/javascript; charset=utf-8", "plain" },
		{ "/app.js", "Accept-Encoding: br, gzip\r\n", 200, "text/javascript; charset=utf-8",
		  "packed" },
		{ "/empty.css", "", 200, "text/css; charset=utf-8", "" },
		{ "/link.js", "", 404, "text/plain", "no /link.js" },
		{ "/folder", "", 404, "text/plain", "no /folder" },
		{ "/.hidden", "", 404, "text/plain", "no /.hidden" },
		{ "/hello", "", 200, "text/plain", "hello" },
	};
	struct app *app;
	struct client client;
	char path[128];

	(void)state;
	app_new(&app, (struct web_config){ .files = "" });
	write_file(app, "index.html", "<p>");
	write_file(app, "app.js", "plain");
	write_file(app, "app.js.gz", "packed");
	write_file(app, "empty.css", "");
	write_file(app, ".hidden", "hidden");
	snprintf(path, sizeof(path), "%s/folder", app->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/link.js", app->folder);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	client_connect(&client, app->socket_path);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct reply reply;
		char value[512];

		get(&client, rows[i].path, rows[i].fields, &reply);
		assert_int_equal(reply.status, rows[i].status);
		assert_string_equal(reply_header(&reply, "content-type", value), rows[i].type);
		assert_string_equal(reply.body, rows[i].body);
		reply_free(&reply);
	}
	client_close(&client);
	app_free(app);
}

static void file_that_the_client_has_is_not_sent_again(void **state)
{
	struct app *app;
	struct client client;
	struct reply reply;
	char value[512];
	char fields[600];

	(void)state;
	app_new(&app, (struct web_config){ .files = "" });
	write_file(app, "app.js", "one");
	client_connect(&client, app->socket_path);
	get(&client, "/app.js", "", &reply);
	snprintf(fields, sizeof(fields), "If-None-Match: \"x\", %s\r\n",
		 reply_header(&reply, "etag", value));
	reply_free(&reply);
	get(&client, "/app.js", fields, &reply);
	assert_int_equal(reply.status, 304);
	reply_free(&reply);
	write_file(app, "app.js", "other");
	get(&client, "/app.js", fields, &reply);
	assert_string_equal(reply.body, "other");
	reply_free(&reply);
	client_close(&client);
	app_free(app);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_below_1_3_is_refused),
		cmocka_unit_test(client_in_the_clear_is_not_answered),
		cmocka_unit_test(certificate_that_was_renewed_is_for_who_comes_next),
		cmocka_unit_test(certificate_of_a_client_is_told_by_its_fingerprint),
		cmocka_unit_test(certificate_that_the_ca_did_not_sign_counts_as_none),
		cmocka_unit_test(files_that_cannot_be_used_are_told),
		cmocka_unit_test(idle_client_makes_room_for_a_new_one),
		cmocka_unit_test(client_of_the_socket_gets_in_when_all_places_are_taken),
		cmocka_unit_test(one_address_does_not_take_all_connections),
		cmocka_unit_test(files_are_sent_with_their_types),
		cmocka_unit_test(file_that_the_client_has_is_not_sent_again),
	};

	/* OpenSSL writes to connections that the server ended. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
