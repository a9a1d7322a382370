/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a fuzz entry over every file of a folder, so that its seeds and past findings are tests. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/fd.h"

#define INPUT_MAX (16 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	struct dirent **names;
	int count, ran = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	count = scandir(argv[1], &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		struct err err = ERR_INIT;
		char path[4096];
		size_t size;
		void *data;

		snprintf(path, sizeof(path), "%s/%s", argv[1], names[i]->d_name);
		if (names[i]->d_name[0] != '.') {
			if (fd_read_file(path, INPUT_MAX, &data, &size, &err)) {
				fprintf(stderr, "%s\n", err.text);
				return 1;
			}
			LLVMFuzzerTestOneInput(data, size);
			free(data);
			ran++;
		}
		free(names[i]);
	}
	if (count > 0)
		free(names);
	printf("%d inputs\n", ran);
	/* A corpus that went missing must not look like a success. */
	return ran ? 0 : 1;
}
