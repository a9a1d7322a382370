/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands and what they take. */
#include "img/command.h"
#include "img/formats.h"

static const struct img_argument check_arguments[] = {
	IMG_FORMAT_ARGUMENT,
	{ .name = "repair",
	  .letter = 'r',
	  .value = "leaks|all",
	  .help = "repair lost space only, or all that was found" },
	IMG_OPTIONS_ARGUMENT,
	IMG_ALLOW_ARGUMENTS,
	IMG_SHARED_ARGUMENT,
	{ 0 },
};

static const struct img_argument compare_arguments[] = {
	{ .name = "format", .letter = 'f', .value = "FORMAT", .help = "format of the first image" },
	{ .name = "other-format",
	  .letter = 'F',
	  .value = "FORMAT",
	  .help = "format of the second image" },
	IMG_ALLOW_ARGUMENTS,
	IMG_SHARED_ARGUMENT,
	{ 0 },
};

static const struct img_argument convert_arguments[] = {
	{ .name = "format", .letter = 'f', .value = "FORMAT", .help = "format of the source" },
	{ .name = "output-format",
	  .letter = 'O',
	  .value = "FORMAT",
	  .help = "format of the target; without, by its name" },
	{ .name = "options",
	  .letter = 'o',
	  .value = "NAME=VALUE,...",
	  .help = "settings of the target's format",
	  .many = true },
	{ .name = "compress", .letter = 'c', .help = "compress what is written" },
	{ .name = "sparse",
	  .letter = 'S',
	  .value = "SIZE",
	  .help = "leave out runs of zeroes so long; 0: none (4K)" },
	{ .name = "threads", .letter = 'm', .value = "N", .help = "at work at the same time" },
	{ .name = "cache",
	  .letter = 't',
	  .value = "MODE",
	  .help = "of the target: unsafe (default), writeback, none" },
	{ .name = "source-cache",
	  .letter = 'T',
	  .value = "MODE",
	  .help = "of the source: writeback (default), none" },
	{ .name = "overwrite", .help = "an existing target is overwritten" },
	{ .name = "no-create", .letter = 'n', .help = "write into an existing image" },
	{ .name = "progress",
	  .letter = 'p',
	  .help = "show progress also where stderr is no terminal" },
	{ .name = "quiet", .letter = 'q', .help = "show no progress" },
	IMG_OPTIONS_ARGUMENT,
	IMG_ALLOW_ARGUMENTS,
	IMG_SHARED_ARGUMENT,
	{ 0 },
};

static const struct img_argument create_arguments[] = {
	{ .name = "format",
	  .letter = 'f',
	  .value = "FORMAT",
	  .help = "format of the image; without, by its name, else raw" },
	{ .name = "options",
	  .letter = 'o',
	  .value = "NAME=VALUE,...",
	  .help = "settings of the format",
	  .many = true },
	{ .name = "backing",
	  .letter = 'b',
	  .value = "FILE",
	  .help = "image that it stands on; relative to the new one" },
	{ .name = "backing-format", .letter = 'F', .value = "FORMAT", .help = "format of that" },
	{ .name = "overwrite", .help = "an existing file is overwritten" },
	IMG_ALLOW_ARGUMENTS,
	{ 0 },
};

static const struct img_argument info_arguments[] = {
	IMG_FORMAT_ARGUMENT,  { .name = "chain", .help = "also open all that the image stands on" },
	IMG_OPTIONS_ARGUMENT, IMG_ALLOW_ARGUMENTS,
	IMG_SHARED_ARGUMENT,  { 0 },
};

static const struct img_argument map_arguments[] = {
	IMG_FORMAT_ARGUMENT,
	{ .name = "start", .value = "BYTE", .help = "from there on" },
	{ .name = "length", .value = "SIZE", .help = "only so much" },
	IMG_OPTIONS_ARGUMENT,
	IMG_ALLOW_ARGUMENTS,
	IMG_SHARED_ARGUMENT,
	{ 0 },
};

static const struct img_argument resize_arguments[] = {
	IMG_FORMAT_ARGUMENT,
	{ .name = "shrink", .help = "drop what lies behind the new end" },
	IMG_OPTIONS_ARGUMENT,
	IMG_ALLOW_ARGUMENTS,
	{ 0 },
};

const struct img_command img_commands[] = {
	{ "check", "look for damage, and repair it", "FILE", 1, 1, check_arguments, img_check,
	  NULL },
	{ "compare", "compare the contents of two disks", "FILE FILE", 2, 2, compare_arguments,
	  img_compare, NULL },
	{ "convert", "copy a disk into a new image", "SOURCE TARGET", 2, 2, convert_arguments,
	  img_convert, img_print_formats },
	{ "create", "make an empty image", "FILE [SIZE]", 1, 2, create_arguments, img_create,
	  img_print_formats },
	{ "formats", "show the formats and their settings", "", 0, 0, NULL, img_formats, NULL },
	{ "info", "show what an image is", "FILE", 1, 1, info_arguments, img_info, NULL },
	{ "map", "show which parts of a disk hold data", "FILE", 1, 1, map_arguments, img_map,
	  NULL },
	{ "resize", "change the size of a disk", "FILE [+|-]SIZE", 2, 2, resize_arguments,
	  img_resize, NULL },
	{ 0 },
};
