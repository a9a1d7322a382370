/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Appliances: descriptors, archives and manifests as others write them, and hostile ones. */
#include "model.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "block/format/ova_priv.h"

/* ---- descriptors ---- */

#define ENVELOPE                                                                                   \
	"<?xml version=\"1.0\"?>\n<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" "     \
	"xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:r=\"http://schemas.dmtf.org/"  \
	"wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\" "                           \
	"xmlns:other=\"http://example.org/other\">"
#define FILES                                                                                      \
	"<References><File ovf:id=\"f1\" ovf:href=\"a.vmdk\" ovf:size=\"77\"/>"                    \
	"<File ovf:href=\"b.vmdk\" ovf:id=\"f2\"/></References>"
#define DISKS                                                                                      \
	"<DiskSection><Info>x</Info><Disk ovf:diskId=\"d1\" ovf:fileRef=\"f1\" "                   \
	"ovf:capacity=\"20\" ovf:capacityAllocationUnits=\"byte * 2^30\"/>"                        \
	"<Disk ovf:diskId=\"d2\" ovf:fileRef=\"f2\" ovf:capacity=\"1024\"/>"                       \
	"<Disk ovf:diskId=\"d3\" ovf:capacity=\"4096\"/></DiskSection>"
#define SYSTEM(inside)                                                                             \
	"<VirtualSystem ovf:id=\"vm\"><Info>x</Info>" inside "</VirtualSystem></Envelope>"
#define HARDWARE(items)  "<VirtualHardwareSection>" items "</VirtualHardwareSection>"
#define ITEM(type, more) "<Item><r:ResourceType>" type "</r:ResourceType>" more "</Item>"
#define QUANTITY(n)      "<r:VirtualQuantity>" n "</r:VirtualQuantity>"
#define UNITS(text)      "<r:AllocationUnits>" text "</r:AllocationUnits>"
#define HOST(text)       "<r:HostResource>" text "</r:HostResource>"

/* What is found, or a word of the message. */
static const struct {
	const char *text, *found, *message;
} descriptors[] = {
	{ ENVELOPE FILES DISKS SYSTEM("<Name> my vm </Name>" HARDWARE(
		  ITEM("3", QUANTITY("4")) ITEM("4", QUANTITY("2") UNITS("byte * 2^30"))
			  ITEM("10", "") ITEM("10", "") ITEM("17", HOST("ovf:/disk/d2"))
				  ITEM("17", HOST("/disk/d1")) ITEM("17", HOST("ovf:/disk/d3")))),
	  "my vm cpus=4 memory=2147483648 nics=2 d2:b.vmdk:1024 d1:a.vmdk:21474836480 d3:-:4096",
	  NULL },
	/* As VirtualBox writes it: no name, old units, elements of its own. */
	{ ENVELOPE FILES DISKS SYSTEM(
		  "<OperatingSystemSection ovf:id=\"101\"><Info/><Description>Linux</Description>"
		  "</OperatingSystemSection>" HARDWARE(
			  ITEM("3", QUANTITY("1")) ITEM("4", QUANTITY("512") UNITS("MegaBytes")) ITEM(
				  "17",
				  HOST("/disk/d1"))) "<other:Machine><other:Name>no</other:Name><Name>no</Name></other:Machine>"),
	  "vm cpus=1 memory=536870912 nics=0 d1:a.vmdk:21474836480", NULL },
	/* Bounds, and other configurations, are not the machine's. */
	{ ENVELOPE "<DeploymentOptionSection><Configuration ovf:id=\"s\"/><Configuration "
		   "ovf:id=\"m\" ovf:default=\"true\"/></DeploymentOptionSection>" SYSTEM(HARDWARE(
			   "<Item ovf:bound=\"max\"><r:ResourceType>3</r:ResourceType>" QUANTITY(
				   "64") "</Item><Item ovf:configuration=\"s l\"><r:ResourceType>3"
					 "</r:ResourceType>" QUANTITY(
						 "2") "</Item><Item "
						      "ovf:configuration=\"s m"
						      "\"><r:ResourceType>3</"
						      "r:ResourceType>" QUANTITY("8") "</Item>")),
	  "vm cpus=8 memory=0 nics=0", NULL },
	/* Hardware that does not say which disks it has. */
	{ ENVELOPE FILES DISKS SYSTEM(HARDWARE(ITEM("17", ""))),
	  "vm cpus=0 memory=0 nics=0 d1:a.vmdk:21474836480 d2:b.vmdk:1024 d3:-:4096", NULL },
	{ ENVELOPE FILES SYSTEM(HARDWARE(ITEM("17", HOST("ovf:/file/f2")))),
	  "vm cpus=0 memory=0 nics=0 f2:b.vmdk:0", NULL },
	{ "", NULL, "no element" },
	{ "<Envelope/>", NULL, "no envelope of OVF" },
	{ "<Envelope xmlns=\"http://www.vmware.com/schema/ovf/1/envelope\"/>", NULL,
	  "no envelope" },
	{ ENVELOPE "</Envelope>", NULL, "without a machine" },
	{ ENVELOPE "<VirtualSystem/><VirtualSystem/></Envelope>", NULL, "several machines" },
	{ "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>" ENVELOPE "&b;</Envelope>",
	  NULL, "a document type" },
	{ ENVELOPE "<References><File ovf:id=\"f\" ovf:href=\"../../etc/passwd\"/></References>",
	  NULL, "'../../etc/passwd' is no name" },
	{ ENVELOPE "<References><File ovf:id=\"f\" ovf:href=\"/etc/passwd\"/></References>", NULL,
	  "is no name" },
	{ ENVELOPE
	  "<References><File ovf:id=\"f\" ovf:href=\"http://example.org/a\"/></References>",
	  NULL, "is no name" },
	{ ENVELOPE FILES "<DiskSection><Disk ovf:diskId=\"d\" ovf:capacity=\"${size}\"/>", NULL,
	  "'${size}'" },
	{ ENVELOPE FILES "<DiskSection><Disk ovf:diskId=\"d\" ovf:capacity=\"4611686018427387904\" "
			 "ovf:capacityAllocationUnits=\"byte * 2^30\"/>",
	  NULL, "without id or size" },
	{ ENVELOPE DISKS SYSTEM(HARDWARE(ITEM("17", HOST("ovf:/disk/d1")))), NULL,
	  "is in no file" },
	{ ENVELOPE DISKS SYSTEM(HARDWARE(ITEM("17", HOST("ovf:/disk/dx")))), NULL, "no disk 'dx'" },
	{ ENVELOPE SYSTEM(HARDWARE(ITEM("3", QUANTITY("5000")))), NULL, "4096 processors" },
	{ ENVELOPE SYSTEM(HARDWARE(ITEM("4", QUANTITY("9223372036854775807") UNITS("GigaBytes")))),
	  NULL, "no size that is understood" },
	{ ENVELOPE SYSTEM(HARDWARE(ITEM("4", QUANTITY("1") UNITS("bananas")))), NULL,
	  "no size that is understood" },
	{ ENVELOPE "<References><File ovf:id=\"f1\" ovf:href=\"a.gz\" ovf:compression=\"gzip\"/>"
		   "</References>" SYSTEM(HARDWARE(ITEM("17", HOST("/file/f1")))),
	  NULL, "compressed" },
};

static char *found_in(const struct ovf *ovf)
{
	struct str text = { 0 };
	const struct ovf_disk *disk;

	str_printf(&text, "%s cpus=%llu memory=%llu nics=%u", ovf->name,
		   (unsigned long long)ovf->cpus, (unsigned long long)ovf->memory_bytes, ovf->nics);
	vec_for_each (disk, &ovf->disks)
		str_printf(&text, " %s:%s:%llu", disk->id, disk->file ? disk->file : "-",
			   (unsigned long long)disk->bytes);
	return str_take(&text);
}

static void descriptor_gives_the_machine_or_names_the_mistake(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(descriptors); i++) {
		const char *text = descriptors[i].text;
		struct err err = ERR_INIT;
		struct ovf ovf = { 0 };
		int rc = ovf_parse(text, strlen(text), &ovf, &err);

		if (descriptors[i].found) {
			AUTO_FREE char *found = found_in(&ovf);

			if (rc)
				fail_msg("%u: %s", i, err.text);
			assert_string_equal(found, descriptors[i].found);
		} else {
			assert_true(rc < 0 && rc == err.code);
			if (!strstr(err.text, descriptors[i].message))
				fail_msg("%u: %s", i, err.text);
		}
		ovf_fini(&ovf);
	}
}

static void descriptor_deeper_than_allowed_is_refused(void **state)
{
	struct str text = { 0 };
	struct err err = ERR_INIT;
	struct ovf ovf = { 0 };

	(void)state;
	str_add(&text, ENVELOPE);
	for (unsigned i = 0; i < 1000; i++)
		str_add(&text, "<x>");
	assert_int_equal(ovf_parse(text.text, text.length, &ovf, &err), -E2BIG);
	ovf_fini(&ovf);
	str_fini(&text);
}

static void descriptor_that_is_written_is_read(void **state)
{
	struct ovf ovf = { .name = strdup("<a> & \"b\""),
			   .cpus = 3,
			   .memory_bytes = 5 * MIB,
			   .nics = 2 },
		   again = { 0 };
	struct err err = ERR_INIT;
	AUTO_FREE char *text = NULL, *found = NULL;

	(void)state;
	for (unsigned i = 0; i < 15; i++) {
		struct ovf_disk disk = { .bytes = MIB * (i + 1), .file_bytes = 7 };

		assert_true(asprintf(&disk.file, "x-%u.vmdk", i) > 0);
		assert_int_equal(vec_push(&ovf.disks, disk), 0);
	}
	text = ovf_text(&ovf);
	assert_non_null(text);
	if (ovf_parse(text, strlen(text), &again, &err))
		fail_msg("%s", err.text);
	assert_string_equal(again.name, ovf.name);
	assert_int_equal(again.cpus, 3);
	assert_int_equal(again.memory_bytes, 5 * MIB);
	assert_int_equal(again.nics, 2);
	assert_int_equal(again.disks.count, 15);
	for (unsigned i = 0; i < 15; i++) {
		assert_string_equal(again.disks.items[i].file, ovf.disks.items[i].file);
		assert_int_equal(again.disks.items[i].bytes, ovf.disks.items[i].bytes);
	}
	ovf_fini(&ovf);
	ovf_fini(&again);
}

/* ---- manifests ---- */

#define HEX1   "0123456789abcdef0123456789ABCDEF01234567"
#define HEX256 HEX1 "0123456789abcdef01234567"

static const struct {
	const char *text;
	unsigned count;
	const char *message;
} manifests[] = {
	{ "SHA256(a.ovf)= " HEX256 "\nSHA1(b.vmdk)= " HEX1 "\r\n\n", 2, NULL },
	{ "SHA256 (a (1).ovf) = " HEX256, 1, NULL },
	{ "", 0, NULL },
	{ "SHA256(a.ovf)= " HEX1, 0, "line 1 is no digest" },
	{ "SHA1(a.ovf)= " HEX256, 0, "line 1 is no digest" },
	{ "SHA1(a.ovf) " HEX1, 0, "line 1 is no digest" },
	{ "\nMD5(a.ovf)= 00", 0, "line 2: unknown digest 'MD5'" },
	{ "SHA1(../a)= " HEX1, 0, "line 1 is no digest" },
	{ "SHA1)a(= " HEX1, 0, "line 1 is no digest" },
	{ "words", 0, "line 1 is no digest" },
};

static void manifest_gives_digests_or_names_the_mistake(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(manifests); i++) {
		struct ova_manifest manifest = { 0 };
		struct err err = ERR_INIT;
		int rc = ova_manifest_parse(&manifest, manifests[i].text, &err);

		if (manifests[i].message && !strstr(err.text, manifests[i].message))
			fail_msg("%u: %s", i, err.text);
		assert_int_equal(rc, err.code);
		assert_int_equal(!rc, !manifests[i].message);
		if (!rc)
			assert_int_equal(manifest.list.count, manifests[i].count);
		ova_manifest_fini(&manifest);
	}
}

/* ---- archives ---- */

/* A header as ova_tar_header() makes it, with one thing changed and its sum put right. */
struct change {
	unsigned at;
	const char *bytes;
	unsigned count;
	bool wrong_sum;
	const char *message;
};

#define CHANGE(offset, text) .at = (offset), .bytes = text, .count = sizeof(text) - 1

static const struct change changes[] = {
	{ CHANGE(0, "a.ovf") },
	{ CHANGE(0, "./a.ovf") },
	{ CHANGE(257, "ustar  ") }, /* of GNU */
	{ CHANGE(124, "\x80\0\0\0\0\0\0\0\0\0\0\5") },
	{ CHANGE(0, "x"), .wrong_sum = true, .message = "no header" },
	{ CHANGE(257, "tsar"), .message = "no header" },
	{ CHANGE(0, "../b\0"), .message = "'../b' is no name" },
	{ CHANGE(0, "/b\0"), .message = "is no name" },
	{ CHANGE(0, "b/c\0"), .message = "is no name" },
	{ CHANGE(0, "\0"), .message = "is no name" },
	{ CHANGE(0, "a\nb\0"), .message = "is no name" },
	{ CHANGE(345, "folder"), .message = "'folder/a.ovf' is no name" },
	{ CHANGE(156, "1"), .message = "a link" },
	{ CHANGE(156, "2"), .message = "a link" },
	{ CHANGE(156, "5"), .message = "a link" },
	{ CHANGE(156, "S"), .message = "a link" },
	{ CHANGE(124, "77777777777"), .message = "goes over the end" },
	{ CHANGE(124, "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
	  .message = "goes over the end" },
	{ CHANGE(124, "\x80\1\0\0\0\0\0\0\0\0\0\5"), .message = "no header" },
	{ CHANGE(124, "0000000000x"), .message = "no header" },
	{ CHANGE(156, "x"), .message = "extended header" }, /* "hello" is no record */
};

static void set_sum(uint8_t *header)
{
	unsigned sum = 0;
	char text[8];

	memset(header + 148, ' ', 8);
	for (unsigned i = 0; i < OVA_TAR_BLOCK; i++)
		sum += header[i];
	snprintf(text, sizeof(text), "%06o", sum);
	memcpy(header + 148, text, 7);
}

static struct block_node *open_file(struct model *model, const uint8_t *bytes, size_t count)
{
	int fd = open(model_path(model, "x.tar"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, bytes, count), 0);
	close(fd);
	assert_int_equal(
		model_open(model, "x.tar", "raw", (struct block_open_options){ .read_only = true }),
		0);
	return model->node;
}

static void archive_gives_members_or_names_the_mistake(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		const struct change *change = &changes[i];
		uint8_t file[6 * OVA_TAR_BLOCK] = { 0 };
		struct ova_members members = { 0 };
		struct err err = ERR_INIT;
		struct model model;
		int rc;

		ova_tar_header(file, "a.ovf", 5, 0);
		memcpy(file + change->at, change->bytes, change->count);
		if (!change->wrong_sum)
			set_sum(file);
		memcpy(file + OVA_TAR_BLOCK, "hello", 5);
		ova_tar_header(file + 2 * (size_t)OVA_TAR_BLOCK, "b", OVA_TAR_BLOCK, 0);
		model_init(&model);
		rc = ova_members_load(&members, open_file(&model, file, sizeof(file)), &err);
		if (change->message && !strstr(err.text, change->message))
			fail_msg("%u: %s", i, err.text);
		if (!change->message) {
			AUTO_FREE char *text = NULL;

			if (rc)
				fail_msg("%u: %s", i, err.text);
			assert_int_equal(members.list.count, 2);
			assert_string_equal(members.list.items[0].name, "a.ovf");
			assert_int_equal(ova_member_read(&members.list.items[0], 5, &text, &err),
					 0);
			assert_string_equal(text, "hello");
			assert_int_equal(members.list.items[1].bytes, OVA_TAR_BLOCK);
		}
		assert_int_equal(rc, err.code);
		ova_members_fini(&members);
		model_fini(&model);
	}
}

static void archive_of_too_many_files_is_refused(void **state)
{
	uint8_t *file = calloc(2000, OVA_TAR_BLOCK);
	struct ova_members members = { 0 };
	struct err err = ERR_INIT;
	struct model model;

	(void)state;
	assert_non_null(file);
	for (unsigned i = 0; i < 2000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		ova_tar_header(file + (size_t)i * OVA_TAR_BLOCK, name, 0, 0);
	}
	model_init(&model);
	assert_int_equal(ova_members_load(&members,
					  open_file(&model, file, 2000 * (size_t)OVA_TAR_BLOCK),
					  &err),
			 -E2BIG);
	ova_members_fini(&members);
	model_fini(&model);
	free(file);
}

static void archive_with_a_name_twice_is_refused(void **state)
{
	uint8_t file[3 * OVA_TAR_BLOCK] = { 0 };
	struct ova_members members = { 0 };
	struct err err = ERR_INIT;
	struct model model;

	(void)state;
	ova_tar_header(file, "a.ovf", 0, 0);
	ova_tar_header(file + OVA_TAR_BLOCK, "a.ovf", 0, 0);
	model_init(&model);
	assert_int_equal(ova_members_load(&members, open_file(&model, file, sizeof(file)), &err),
			 -EINVAL);
	ova_members_fini(&members);
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptor_gives_the_machine_or_names_the_mistake),
		cmocka_unit_test(descriptor_deeper_than_allowed_is_refused),
		cmocka_unit_test(descriptor_that_is_written_is_read),
		cmocka_unit_test(manifest_gives_digests_or_names_the_mistake),
		cmocka_unit_test(archive_gives_members_or_names_the_mistake),
		cmocka_unit_test(archive_of_too_many_files_is_refused),
		cmocka_unit_test(archive_with_a_name_twice_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
