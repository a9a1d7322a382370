/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which further files an image may name, and which format it may turn out to have. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>

#include "base/bytes.h"
#include "block/format.h"
#include "block/node.h"

#define DISK_BYTES (1 * MIB)

struct rig {
	char root[64];
};

static int rig_setup(void **state)
{
	static const char *const folders[] = { "own", "own/below", "allowed", "allowed/below",
					       "foreign" };
	struct rig *rig = calloc(1, sizeof(*rig));
	char path[128];

	strcpy(rig->root, "/var/tmp/cella-opener-XXXXXX");
	assert_non_null(mkdtemp(rig->root));
	for (unsigned i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", rig->root, folders[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	*state = rig;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(path);
}

static int rig_teardown(void **state)
{
	struct rig *rig = *state;

	nftw(rig->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(rig);
	return 0;
}

static const char *at(const struct rig *rig, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", rig->root, name);
	return path;
}

/* An image "<root>/<name>" of the format that its name says. */
static void make(const struct rig *rig, const char *name, const char *backing)
{
	char path[128], backing_path[128];
	struct block_create_options options = {
		.path = at(rig, name, path),
		.bytes = DISK_BYTES,
		.anywhere = true,
		.overwrite = true,
	};
	struct err err = ERR_INIT;

	if (backing && *backing == '$')
		backing = at(rig, backing + 2, backing_path);
	options.backing = backing;
	if (block_create(&options, &err))
		fail_msg("%s: %s", name, err.text);
}

static int open_rc(const struct rig *rig, struct block_open_options options, const char *name,
		   struct err *err)
{
	struct block_node *node = NULL;
	char path[128];
	int rc;

	options.path = at(rig, name, path);
	options.read_only = true;
	*err = ERR_INIT;
	rc = block_open(&options, NULL, &node, err);
	if (rc)
		assert_null(node);
	block_close(node);
	return rc;
}

/* A backing file as it is named in own/top.qcow2 ("$/" stands for the root). */
static const struct naming {
	const char *file, *name;
	int rc;         /* with nothing allowed, … */
	int rc_allowed; /* … and with "allowed" */
} namings[] = {
	{ "own/base.img", "base.img", 0, 0 },
	{ "own/base.img", "$/own/base.img", 0, 0 },
	{ "own/base.img", "below/../base.img", 0, 0 },
	{ "own/below/base.img", "below/base.img", -EPERM, -EPERM },
	{ "allowed/base.img", "../allowed/base.img", -EPERM, 0 },
	{ "allowed/below/base.img", "$/allowed/below/base.img", -EPERM, 0 },
	{ "foreign/base.img", "../foreign/base.img", -EPERM, -EPERM },
	{ "foreign/base.img", "../allowed/../foreign/base.img", -EPERM, -EPERM },
	{ "own/base.qcow2", "base.qcow2", 0, 0 },
};

static void opener_names_lead_only_where_allowed(void **state)
{
	struct rig *rig = *state;
	char folder[128];
	const char *folders[] = { at(rig, "allowed", folder), NULL };

	for (unsigned i = 0; i < ARRAY_SIZE(namings); i++) {
		struct err err;

		make(rig, namings[i].file, NULL);
		make(rig, "own/top.qcow2", namings[i].name);
		assert_int_equal(
			open_rc(rig, (struct block_open_options){ 0 }, "own/top.qcow2", &err),
			namings[i].rc);
		if (namings[i].rc)
			assert_non_null(strstr(err.text, "not in its folder"));
		assert_int_equal(open_rc(rig, (struct block_open_options){ .folders = folders },
					 "own/top.qcow2", &err),
				 namings[i].rc_allowed);
		assert_int_equal(open_rc(rig, (struct block_open_options){ .anywhere = true },
					 "own/top.qcow2", &err),
				 0);
		assert_int_equal(open_rc(rig, (struct block_open_options){ .no_backing = true },
					 "own/top.qcow2", &err),
				 0);
	}
}

static void opener_links_are_followed_before_they_are_judged(void **state)
{
	struct rig *rig = *state;
	char link_path[128], target[128];
	struct err err;

	make(rig, "foreign/base.img", NULL);
	make(rig, "own/base.img", NULL);
	make(rig, "own/top.qcow2", "base.img");
	assert_int_equal(unlink(at(rig, "own/base.img", link_path)), 0);
	assert_int_equal(symlink(at(rig, "foreign/base.img", target), link_path), 0);
	assert_int_equal(open_rc(rig, (struct block_open_options){ 0 }, "own/top.qcow2", &err),
			 -EPERM);
	/* A link to the image itself is the user's: its folder is that of the file. */
	assert_int_equal(unlink(link_path), 0);
	make(rig, "own/base.img", NULL);
	assert_int_equal(
		symlink(at(rig, "own/top.qcow2", target), at(rig, "foreign/link.qcow2", link_path)),
		0);
	assert_int_equal(open_rc(rig, (struct block_open_options){ 0 }, "foreign/link.qcow2", &err),
			 0);
}

static void opener_image_on_itself_is_refused(void **state)
{
	struct rig *rig = *state;
	char a[128], b[128];
	struct err err;

	make(rig, "own/a.qcow2", NULL);
	make(rig, "own/b.qcow2", "a.qcow2");
	make(rig, "own/c.qcow2", "b.qcow2");
	/* c stands on b, and b on a, which is now c. */
	assert_int_equal(rename(at(rig, "own/c.qcow2", a), at(rig, "own/a.qcow2", b)), 0);
	assert_int_equal(open_rc(rig, (struct block_open_options){ 0 }, "own/a.qcow2", &err),
			 -ELOOP);
	assert_non_null(strstr(err.text, "stands on itself"));
}

static void opener_chain_has_an_end(void **state)
{
	struct rig *rig = *state;
	struct err err;

	make(rig, "own/0.qcow2", NULL);
	for (unsigned i = 1; i <= BLOCK_DEPTH_MAX; i++) {
		char name[32], backing[32];

		snprintf(name, sizeof(name), "own/%u.qcow2", i);
		snprintf(backing, sizeof(backing), "%u.qcow2", i - 1);
		if (i < BLOCK_DEPTH_MAX)
			make(rig, name, backing);
	}
	assert_int_equal(open_rc(rig, (struct block_open_options){ 0 }, "own/63.qcow2", &err), 0);
	{
		char path[128];
		struct block_create_options options = {
			.path = at(rig, "own/64.qcow2", path),
			.backing = "63.qcow2",
			.bytes = DISK_BYTES,
		};

		assert_int_equal(block_create(&options, &err), -ELOOP);
		assert_int_not_equal(access(path, F_OK), 0);
	}
}

/* What is found of a file by name and header; `content` NULL: "format=" was given. */
static const struct finding {
	const char *made, *named, *format;
	int strict, by_content;
	const char *found; /* by content */
} findings[] = {
	{ "x.qcow2", "x.qcow2", NULL, 0, 0, "qcow2" },
	{ "x.img", "x.img", NULL, 0, 0, "raw" },
	{ "x.img", "x", NULL, 0, 0, "raw" },
	{ "x.img", "x.unknown", NULL, 0, 0, "raw" },
	{ "x.qcow2", "x.img", NULL, -EMEDIUMTYPE, 0, "qcow2" },
	{ "x.qcow2", "x", NULL, -EMEDIUMTYPE, 0, "qcow2" },
	{ "x.qcow2", "x.QCOW2", NULL, 0, 0, "qcow2" },
	{ "x.img", "x.qcow2", NULL, -EMEDIUMTYPE, 0, "raw" },
	{ "x.qcow2", "x.img", "raw", 0, 0, "raw" },
	{ "x.qcow2", "x.img", "qcow2", 0, 0, "qcow2" },
	{ "x.img", "x.img", "tape", -EINVAL, -EINVAL, NULL },
};

static void opener_content_alone_never_chooses(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(findings); i++) {
		const struct finding *finding = &findings[i];
		struct block_open_options options = { .format = finding->format,
						      .probe = BLOCK_PROBE_CONTENT,
						      .read_only = true };
		char made[64], named[64], from[128], to[128];
		struct block_node *node;
		struct err err;

		snprintf(made, sizeof(made), "own/%s", finding->made);
		snprintf(named, sizeof(named), "own/%s", finding->named);
		make(rig, made, NULL);
		assert_int_equal(rename(at(rig, made, from), at(rig, named, to)), 0);
		assert_int_equal(open_rc(rig,
					 (struct block_open_options){ .format = finding->format },
					 named, &err),
				 finding->strict);
		if (finding->strict == -EMEDIUMTYPE)
			assert_non_null(strstr(err.hint, "format="));
		options.path = to;
		assert_int_equal(block_open(&options, NULL, &node, &err), finding->by_content);
		if (!finding->by_content) {
			assert_string_equal(node->format->name, finding->found);
			block_close(node);
		}
		assert_int_equal(unlink(to), 0);
	}
}

static void opener_guessed_image_opens_no_further_file(void **state)
{
	struct rig *rig = *state;
	char from[128], to[128];
	struct err err;

	make(rig, "own/base.img", NULL);
	make(rig, "own/top.qcow2", "base.img");
	assert_int_equal(rename(at(rig, "own/top.qcow2", from), at(rig, "own/disk.img", to)), 0);
	assert_int_equal(open_rc(rig, (struct block_open_options){ .probe = BLOCK_PROBE_CONTENT },
				 "own/disk.img", &err),
			 -EPERM);
	assert_non_null(strstr(err.text, "only guessed"));
	assert_int_equal(open_rc(rig,
				 (struct block_open_options){ .probe = BLOCK_PROBE_CONTENT,
							      .format = "qcow2" },
				 "own/disk.img", &err),
			 0);
}

static void create_failed_leaves_nothing(void **state)
{
	static const struct {
		const char *name, *format, *backing;
		uint64_t bytes;
		int rc;
	} cases[] = {
		{ "own/x.img", "tape", NULL, DISK_BYTES, -EINVAL },
		{ "own/x.img", NULL, NULL, 1000, -EINVAL },
		{ "own/x.img", NULL, NULL, UINT64_MAX, -EINVAL },
		{ "own/x.qcow2", NULL, "nothing.img", DISK_BYTES, -ENOENT },
		{ "own/x.qcow2", NULL, "x.qcow2", DISK_BYTES, -ELOOP },
		{ "nowhere/x.img", NULL, NULL, DISK_BYTES, -ENOENT },
	};
	struct rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[128];
		struct block_create_options options = {
			.path = at(rig, cases[i].name, path),
			.format = cases[i].format,
			.backing = cases[i].backing,
			.bytes = cases[i].bytes,
		};
		struct err err = ERR_INIT;

		assert_int_equal(block_create(&options, &err), cases[i].rc);
		assert_true(err.text[0]);
		assert_int_not_equal(access(path, F_OK), 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(opener_names_lead_only_where_allowed),
		TEST(opener_links_are_followed_before_they_are_judged),
		TEST(opener_image_on_itself_is_refused),
		TEST(opener_chain_has_an_end),
		TEST(opener_content_alone_never_chooses),
		TEST(opener_guessed_image_opens_no_further_file),
		TEST(create_failed_leaves_nothing),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
