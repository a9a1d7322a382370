/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of `cella run`: what it turns into, and what is refused with which words. */
#include "cli/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

#define ARGUMENTS_MAX 8

static const struct {
	const char *arguments[ARGUMENTS_MAX];
	const char *config;
} accepted[] = {
	{ { NULL }, "{}" },
	{ { "--cpus", "4" }, "{'cpu': {'count': 4}}" },
	{ { "--cpus=4", "--cpu", "x86-64-v3" }, "{'cpu': {'count': 4, 'model': 'x86-64-v3'}}" },
	{ { "--cpus", "4", "--cpus", "2" }, "{'cpu': {'count': 2}}" },
	{ { "--memory", "2G" }, "{'memory': {'size': 2147483648}}" },
	{ { "--memory", "1T,hugepages=2M,prealloc=on" },
	  "{'memory': {'size': 1099511627776, 'hugepages': 2097152, 'prealloc': true}}" },
	{ { "--append", "a=1", "--append", "b" }, "{'append': 'a=1 b'}" },
	{ { "--append", "--strange" }, "{'append': '--strange'}" },
	{ { "--disk", "a.img" }, "{'disks': [{'path': 'a.img'}]}" },
	{ { "--disk", "a.img,readonly=on", "--disk", "path=b,cache=none,id=b,serial=S 1" },
	  "{'disks': [{'path': 'a.img', 'readonly': true},"
	  " {'path': 'b', 'cache': 'none', 'id': 'b', 'serial': 'S 1'}]}" },
	{ { "--disk", "a,,b.img,snapshot=on" },
	  "{'disks': [{'path': 'a,b.img', 'snapshot': true}]}" },
	{ { "--disk", "/tmp/a=b.img" }, "{'disks': [{'path': '/tmp/a=b.img'}]}" },
	{ { "--disk", "path=a=b" }, "{'disks': [{'path': 'a=b'}]}" },
	{ { "--net", "none" }, "{'nets': [{'kind': 'none'}]}" },
	{ { "--net", "user,hostfwd=tcp::2222-:22,hostfwd=udp:0.0.0.0:53-:53" },
	  "{'nets': [{'kind': 'user', 'hostfwd': ['tcp::2222-:22', 'udp:0.0.0.0:53-:53']}]}" },
	{ { "--net", "tap=tap0,mac=02:00:00:00:00:01" },
	  "{'nets': [{'kind': 'tap', 'ifname': 'tap0', 'mac': '02:00:00:00:00:01'}]}" },
	{ { "--serial", "pty", "--serial", "unix=/tmp/a,b" },
	  "{'serials': ['pty', 'unix=/tmp/a,b']}" },
	{ { "--virtio-console", "file=x" }, "{'consoles': ['file=x']}" },
	{ { "--device", "isa-debug-exit", "--device", "pc-testdev" },
	  "{'devices': ['isa-debug-exit', 'pc-testdev']}" },
	{ { "--engine", "kvm" }, "{'engine': {'name': 'kvm'}}" },
	{ { "--engine", "soft,a=1,b=2" }, "{'engine': {'name': 'soft', 'options': 'a=1,b=2'}}" },
	{ { "--no-reboot", "--log", "debug", "--control", "/tmp/s", "--name", "web" },
	  "{'reboot': false, 'log': 'debug', 'control': '/tmp/s', 'name': 'web'}" },
};

static const struct {
	const char *arguments[ARGUMENTS_MAX];
	const char *error, *hint;
} refused[] = {
	{ { "--memroy", "1G" }, "unknown option '--memroy'", "did you mean '--memory'?" },
	{ { "--xyzzy" }, "unknown option '--xyzzy'", "see 'cella run --help'" },
	{ { "--" }, "unexpected argument '--'", NULL },
	{ { "disk.img" }, "unexpected argument 'disk.img'", NULL },
	{ { "-m", "1G" }, "unexpected argument '-m'", NULL },
	{ { "--memory" }, "option '--memory' needs a value: SIZE", NULL },
	{ { "--no-reboot=yes" }, "option '--no-reboot' takes no value", NULL },
	{ { "--cpus", "none" }, "--cpus 'none': must be a whole number", NULL },
	{ { "--cpus", "0" }, "--cpus '0': must be 1 to 1024", NULL },
	{ { "--cpus", "100000" }, "--cpus '100000': must be 1 to 1024", NULL },
	{ { "--memory", "lots" }, "--memory 'lots': 'size': must be a size", NULL },
	{ { "--memory", "1G,hugepage=2M" }, "unknown key 'hugepage'", "did you mean 'hugepages'?" },
	{ { "--memory", "1G,size=2G" }, "'size' is given twice", NULL },
	{ { "--memory", "1G,fast" }, "'fast' is no KEY=VALUE", NULL },
	{ { "--disk", "" }, "'path': must have 1 to 4096 characters", NULL },
	{ { "--disk", "a,raedonly=on" }, "unknown key 'raedonly'", "did you mean 'readonly'?" },
	{ { "--disk", "a,readonly=perhaps" }, "'readonly': must be on or off", NULL },
	{ { "--net", "usr" }, "must be one of none, user, tap", "did you mean 'user'?" },
	{ { "--net", "tap=name-that-is-too-long" },
	  "'ifname': must have 1 to 15 characters",
	  NULL },
	{ { "--net", "user,tap=tap0" }, "'kind' is given twice", NULL },
	{ { "--serial", "com1" }, "--serial 'com1': must be stdio, pty", NULL },
	{ { "--device", "floppy" }, "must be one of isa-debug-exit", NULL },
	{ { "--engine", "xen" }, "must be one of auto, kvm, soft", NULL },
	{ { "--log", "verbose" }, "must be one of error, warn", NULL },
	{ { "--kernel", "\xff" }, "must be UTF-8 text", NULL },
};

static int parse(const char *const *arguments, struct request *request, struct err *err)
{
	char *copies[ARGUMENTS_MAX];
	int count = 0;
	int rc;

	while (count < ARGUMENTS_MAX && arguments[count]) {
		copies[count] = strdup(arguments[count]);
		count++;
	}
	rc = options_parse(run_options, count, copies, request, err);
	while (count--)
		free(copies[count]);
	return rc;
}

/* JSON with single quotes, which need no escaping here. */
static json_t *quoted(const char *text)
{
	char *copy = strdup(text);
	json_t *value;

	for (char *at = copy; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	value = json_loads(copy, 0, NULL);
	free(copy);
	assert_non_null(value);
	return value;
}

static void options_parse_right_words_give_configuration(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(accepted); i++) {
		struct request request = { .config = json_object() };
		json_t *expected = quoted(accepted[i].config);
		struct err err = ERR_INIT;

		if (parse(accepted[i].arguments, &request, &err))
			fail_msg("%s: %s", accepted[i].config, err.text);
		if (!json_equal(request.config, expected))
			fail_msg("%s: got %s", accepted[i].config, json_dumps(request.config, 0));
		json_decref(expected);
		json_decref(request.config);
	}
}

static void options_parse_wrong_words_are_named(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		struct request request = { .config = json_object() };
		struct err err = ERR_INIT;

		if (parse(refused[i].arguments, &request, &err) != -EINVAL ||
		    !strstr(err.text, refused[i].error) ||
		    (refused[i].hint && strcmp(err.hint, refused[i].hint)))
			fail_msg("%s %s: '%s' '%s'", refused[i].arguments[0], refused[i].error,
				 err.text, err.hint);
		json_decref(request.config);
	}
}

static void options_parse_help_and_dry_run_are_no_configuration(void **state)
{
	static const char *const arguments[] = { "--help", "--dry-run", NULL };
	struct request request = { .config = json_object() };

	(void)state;
	assert_int_equal(parse(arguments, &request, NULL), 0);
	assert_true(request.help);
	assert_true(request.dry_run);
	assert_int_equal(json_object_size(request.config), 0);
	json_decref(request.config);
}

static void options_print_every_line_fits_80_columns(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	options_print(out, run_options);
	fclose(out);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= 80);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_parse_right_words_give_configuration),
		cmocka_unit_test(options_parse_wrong_words_are_named),
		cmocka_unit_test(options_parse_help_and_dry_run_are_no_configuration),
		cmocka_unit_test(options_print_every_line_fits_80_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
