/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/file/nbd_library.h"

#include <dlfcn.h>
#include <errno.h>

#define NAME "libnbd.so.0"

int nbd_library_open(struct nbd_library *library, struct err *err)
{
	bool whole = true;

	*library = (struct nbd_library){ .handle = dlopen(NAME, RTLD_NOW | RTLD_LOCAL) };
	if (!library->handle) {
		err_set(err, ENOENT, "cannot load library '%s'", NAME);
		return err_hint(err, "install it: in Debian the package is 'libnbd0'");
	}
#define f(function)                                                                                \
	library->function =                                                                        \
		(__typeof__(library->function))dlsym(library->handle, "nbd_" #function);           \
	whole &= library->function != NULL;
	NBD_FUNCTIONS(f)
#undef f
	if (whole)
		return 0;
	nbd_library_close(library);
	return err_set(err, ENOENT, "library '%s' is too old", NAME);
}

void nbd_library_close(struct nbd_library *library)
{
	if (library->handle)
		dlclose(library->handle);
}
