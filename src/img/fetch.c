/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `fetch`: a file from a web server, hashed while it comes. What came stays in the target when it breaks
 * off, with what the server calls it beside it in TARGET.fetch: the same command goes on from there, if
 * the server still has the same file.
 *
 * Libraries and names are looked up with what the user may; then only connections are left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/clock.h"
#include "host/fd.h"
#include "host/http_library.h"
#include "img/command.h"
#include "img/connector_disk.h"
#include "img/digest.h"
#include "img/fetch_address.h"
#include "img/progress.h"

#define CONNECT_S     20L
#define SLOW_S        30L
#define SLOW_BYTES    1024L
#define REDIRECTS     5L
#define TRIES         5u /* without anything new */
#define PAUSE_NS      (500 * NS_PER_MS)
#define SHOW_NS       (200 * NS_PER_MS)
#define VALIDATOR_MAX 256
#define PIECE         MIB
#define URL_MAX       4096

struct fetch {
	struct img *img;
	const char *url, *path, *wanted; /* `wanted` NULL: any hash will do */
	char *note_path;
	uint64_t max, done, total;
	int fd, note_fd;
	bool public_only;
	struct http_library lib;
	CURL *curl;
	struct digest digest;
	struct progress progress;
	uint64_t shown_ns;

	/* Of the answer that comes. */
	char validator
		[VALIDATOR_MAX]; /* ETag that does not compare weakly, or time of the last change */
	char etag[VALIDATOR_MAX], modified[VALIDATOR_MAX];
	bool refused; /* an address that is not public */
	int failed;   /* negative errno of the file */
};

/* ---- what came before ---- */

/* The file may have been changed meanwhile, so it is hashed as it is. */
static int hash_present(struct fetch *fetch)
{
	AUTO_FREE char *piece = malloc(PIECE);
	ssize_t count = 1;
	int rc = piece ? digest_start(&fetch->digest) : -ENOMEM;

	fetch->done = 0;
	while (!rc && count) {
		count = pread(fetch->fd, piece, PIECE, (off_t)fetch->done);
		rc = count < 0 ? -errno : digest_add(&fetch->digest, piece, (size_t)count);
		fetch->done += !rc ? (uint64_t)count : 0;
	}
	return rc;
}

static int begin_anew(struct fetch *fetch)
{
	fetch->done = 0;
	if (ftruncate(fetch->fd, 0))
		return -errno;
	return digest_start(&fetch->digest);
}

/* The validator of what is there; "" if it is of another URL, or nobody knows. */
static void read_note(struct fetch *fetch)
{
	char text[URL_MAX + VALIDATOR_MAX + 2];
	ssize_t count = pread(fetch->note_fd, text, sizeof(text) - 1, 0);
	size_t url = strlen(fetch->url);

	text[MAX(count, 0)] = '\0';
	if (strncmp(text, fetch->url, url) || text[url] != '\n')
		return;
	snprintf(fetch->validator, sizeof(fetch->validator), "%.*s",
		 (int)strcspn(text + url + 1, "\n"), text + url + 1);
}

static int write_note(struct fetch *fetch)
{
	AUTO_FREE char *text = NULL;
	int count = asprintf(&text, "%s\n%s\n", fetch->url, fetch->validator);

	if (count < 0)
		return -ENOMEM;
	if (ftruncate(fetch->note_fd, 0) || pwrite(fetch->note_fd, text, (size_t)count, 0) != count)
		return errno ? -errno : -EIO;
	return 0;
}

static int open_files(struct fetch *fetch, struct err *err)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int rc;

	if (strlen(fetch->url) > URL_MAX)
		return err_set(err, EINVAL, "the address is too long");
	if (asprintf(&fetch->note_path, "%s.fetch", fetch->path) < 0)
		return err_errno(err, ENOMEM, "cannot fetch '%s'", fetch->url);
	fetch->fd = open(fetch->path, flags, 0666);
	if (fetch->fd < 0)
		return err_errno(err, errno, "cannot write file '%s'", fetch->path);
	fetch->note_fd = open(fetch->note_path, flags, 0666);
	if (fetch->note_fd < 0)
		return err_errno(err, errno, "cannot write file '%s'", fetch->note_path);
	read_note(fetch);
	rc = fetch->validator[0] ? hash_present(fetch) : begin_anew(fetch);
	return rc ? err_errno(err, rc, "cannot write file '%s'", fetch->path) : 0;
}

/* ---- the answer ---- */

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct fetch *fetch = ctx;
	size_t length = size * count;

	/* A redirection begins anew. */
	if (length > 5 && !strncasecmp(line, "HTTP/", 5))
		fetch->etag[0] = fetch->modified[0] = '\0';
	http_take_header(line, length, "ETag:", fetch->etag, VALIDATOR_MAX);
	http_take_header(line, length, "Last-Modified:", fetch->modified, VALIDATOR_MAX);
	return length;
}

/* Before the first byte: whether it is a part, and of what. */
static int begin_answer(struct fetch *fetch)
{
	curl_off_t length = -1;
	long status = 0;
	int rc;

	fetch->lib.easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &status);
	fetch->lib.easy_getinfo(fetch->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	rc = status == 206 ? 0 : begin_anew(fetch);
	fetch->total = length < 0 ? 0 : fetch->done + (uint64_t)length;
	if (!rc && fetch->total > fetch->max)
		return -EFBIG;
	snprintf(fetch->validator, sizeof(fetch->validator), "%s",
		 fetch->etag[0] == '"' ? fetch->etag : fetch->modified);
	fetch->progress.total = fetch->total;
	return rc ? rc : write_note(fetch);
}

static int take(struct fetch *fetch, const char *data, size_t length)
{
	int rc = 0;

	if (length > fetch->max - fetch->done)
		return -EFBIG;
	for (size_t at = 0; at < length && !rc;) {
		ssize_t count =
			pwrite(fetch->fd, data + at, length - at, (off_t)(fetch->done + at));

		rc = count < 0 ? -errno : 0;
		at += rc ? 0 : (size_t)count;
	}
	if (!rc)
		rc = digest_add(&fetch->digest, data, length);
	if (!rc)
		fetch->done += length;
	return rc;
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
	struct fetch *fetch = ctx;
	size_t length = size * count;

	if (!fetch->shown_ns)
		fetch->failed = begin_answer(fetch);
	if (!fetch->failed)
		fetch->failed = take(fetch, data, length);
	if (!fetch->shown_ns || clock_now_ns() - fetch->shown_ns >= SHOW_NS) {
		progress_show(&fetch->progress, fetch->done);
		fetch->shown_ns = clock_now_ns();
	}
	return fetch->failed ? 0 : length;
}

/* Who fetches for others must not be sent into the host's own networks. */
static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct fetch *fetch = ctx;

	if (fetch->public_only && !fetch_address_is_public(&address->addr)) {
		fetch->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- requests ---- */

static struct curl_slist *headers_for(struct fetch *fetch)
{
	AUTO_FREE char *line = NULL;

	if (!fetch->done || asprintf(&line, "If-Range: %s", fetch->validator) < 0)
		return NULL;
	return fetch->lib.slist_append(NULL, line);
}

static void set_up(struct fetch *fetch, struct curl_slist *headers)
{
	__typeof__(fetch->lib.easy_setopt) set = fetch->lib.easy_setopt;
	CURL *curl = fetch->curl;
	char range[32];

	fetch->lib.easy_reset(curl);
	set(curl, CURLOPT_URL, fetch->url);
	set(curl, CURLOPT_USERAGENT, "cella/" CELLA_VERSION);
	set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	set(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	set(curl, CURLOPT_FOLLOWLOCATION, 1L);
	set(curl, CURLOPT_MAXREDIRS, REDIRECTS);
	set(curl, CURLOPT_FAILONERROR, 1L);
	set(curl, CURLOPT_NOSIGNAL, 1L);
	set(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	set(curl, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	set(curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	set(curl, CURLOPT_HEADERFUNCTION, on_header);
	set(curl, CURLOPT_HEADERDATA, fetch);
	set(curl, CURLOPT_WRITEFUNCTION, on_data);
	set(curl, CURLOPT_WRITEDATA, fetch);
	set(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	set(curl, CURLOPT_OPENSOCKETDATA, fetch);
	if (headers) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)fetch->done);
		set(curl, CURLOPT_RANGE, range);
		set(curl, CURLOPT_HTTPHEADER, headers);
	}
}

static int explain(const struct fetch *fetch, CURLcode code, struct err *err)
{
	long status = 0;

	fetch->lib.easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &status);
	if (fetch->refused) {
		err_set(err, EACCES, "cannot fetch '%s': its server is not in the public network",
			fetch->url);
		return err_hint(err, "an administrator may fetch from anywhere");
	}
	if (fetch->failed == -EFBIG)
		return err_set(err, EFBIG,
			       "cannot fetch '%s': it is larger than the %llu bytes allowed",
			       fetch->url, (unsigned long long)fetch->max);
	if (fetch->failed)
		return err_errno(err, fetch->failed, "cannot write file '%s'", fetch->path);
	if (status >= 400)
		return err_set(err, status == 404 ? ENOENT : EIO,
			       "cannot fetch '%s': the server answered %ld", fetch->url, status);
	return err_set(err, EIO, "cannot fetch '%s': %s", fetch->url,
		       fetch->lib.easy_strerror(code));
}

static bool is_passing(const struct fetch *fetch, CURLcode code)
{
	static const CURLcode codes[] = { CURLE_COULDNT_CONNECT,    CURLE_PARTIAL_FILE,
					  CURLE_OPERATION_TIMEDOUT, CURLE_SEND_ERROR,
					  CURLE_RECV_ERROR,         CURLE_GOT_NOTHING };
	bool passing = false;

	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
		passing |= code == codes[i];
	return passing && !fetch->failed && !fetch->refused;
}

static int get_once(struct fetch *fetch, CURLcode *ret_code)
{
	struct curl_slist *headers = headers_for(fetch);
	long status = 0;

	if (!headers && fetch->done) {
		int rc = begin_anew(fetch);

		if (rc)
			return rc;
	}
	fetch->shown_ns = 0;
	set_up(fetch, headers);
	*ret_code = fetch->lib.easy_perform(fetch->curl);
	fetch->lib.easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &status);
	fetch->lib.slist_free_all(headers);
	/* Nothing behind what is there: an empty file, or one that was complete already. */
	if (status == 416 && fetch->done && !fetch->shown_ns)
		*ret_code = CURLE_OK;
	return 0;
}

/* Again and again, for as long as something comes. */
static int get(struct fetch *fetch, struct err *err)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	CURLcode code = CURLE_OK;

	for (unsigned try = 0; try < TRIES; try++) {
		uint64_t before = fetch->done;
		int rc = get_once(fetch, &code);

		if (rc)
			return err_errno(err, rc, "cannot write file '%s'", fetch->path);
		if (code == CURLE_OK)
			return 0;
		if (!is_passing(fetch, code))
			break;
		if (fetch->done > before)
			try = 0;
		nanosleep(&pause, NULL);
	}
	return explain(fetch, code, err);
}

/* ---- the command ---- */

static int parse(struct fetch *fetch, struct err *err)
{
	static const char *const schemes[] = { "http://", "https://" };
	bool known = false;

	for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++)
		known |= !strncasecmp(fetch->url, schemes[i], strlen(schemes[i]));
	if (!known)
		return err_set(err, EINVAL, "'%.64s' is no address of http or https", fetch->url);
	if (fetch->wanted && strlen(fetch->wanted) != DIGEST_TEXT - 1)
		return err_set(err, EINVAL, "argument of '--sha256' must be 64 hexadecimal digits");
	return img_size(fetch->img, "max", &fetch->max, err);
}

static int finish(struct fetch *fetch, char text[DIGEST_TEXT], struct err *err)
{
	int rc = digest_end(&fetch->digest, text);

	if (!rc && fdatasync(fetch->fd))
		rc = -errno;
	if (rc)
		return err_errno(err, rc, "cannot write file '%s'", fetch->path);
	if (!fetch->wanted || !strcasecmp(fetch->wanted, text))
		return 0;
	/* Nothing of it is worth being kept. */
	rc = begin_anew(fetch);
	if (rc)
		return err_errno(err, rc, "cannot write file '%s'", fetch->path);
	err_set(err, EBADMSG, "'%s' has SHA-256 %s, not what was said", fetch->url, text);
	return err_hint(err, "compare with what its publisher says");
}

static void print_text(const json_t *result)
{
	printf("%s  %s\n", json_string_value(json_object_get(result, "sha256")),
	       json_string_value(json_object_get(result, "path")));
}

static void fetch_fini(struct fetch *fetch)
{
	if (fetch->curl)
		fetch->lib.easy_cleanup(fetch->curl);
	if (fetch->lib.handle)
		http_library_close(&fetch->lib);
	digest_fini(&fetch->digest);
	if (fetch->fd >= 0)
		close(fetch->fd);
	if (fetch->note_fd >= 0)
		close(fetch->note_fd);
	free(fetch->note_path);
}

int img_fetch(struct img *img, struct err *err)
{
	struct fetch fetch = {
		.img = img,
		.url = img->operands[0],
		.path = img->operands[1],
		.wanted = img_value(img, "sha256"),
		.public_only = img_flag(img, "public"),
		.max = INT64_MAX,
		.fd = -1,
		.note_fd = -1,
	};
	char text[DIGEST_TEXT];
	int rc = parse(&fetch, err);

	if (!rc)
		rc = open_files(&fetch, err);
	if (!rc)
		rc = http_library_open(&fetch.lib, err);
	if (!rc) {
		fetch.curl = fetch.lib.easy_init();
		rc = fetch.curl ? connector_disk_confine(fetch.url, err)
				: err_errno(err, ENOMEM, "cannot fetch");
	}
	if (!rc) {
		progress_start(&fetch.progress, img, 0);
		rc = get(&fetch, err);
		progress_end(&fetch.progress, fetch.done);
	}
	if (!rc)
		rc = finish(&fetch, text, err);
	if (!rc)
		img_print(img,
			  json_pack("{s:s, s:I, s:s}", "path", fetch.path, "bytes",
				    (json_int_t)fetch.done, "sha256", text),
			  print_text);
	fetch_fini(&fetch);
	return rc ? IMG_FAILED : IMG_DONE;
}
