/* SPDX-License-Identifier: GPL-2.0-or-later */
/* utab, through libmount; the contract is in utab.h. */
#include "helper/utab.h"

#include <errno.h>
#include <libmount.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/cleanup.h"

/* The update takes, and gives back, utab's lock by itself. */
static int write_update(struct libmnt_update *update)
{
	return mnt_update_is_ready(update) ? mnt_update_table(update, NULL) : 0;
}

/* What libmount answers where there is nothing to write, or nowhere to write it. */
static int settle(int rc)
{
	/* mnt_update_set_fs() answers 1 for "nothing that utab would keep" */
	if (rc > 0 || rc == -EACCES || rc == -EPERM || rc == -EROFS || rc == -ENOENT)
		return 0;
	return rc;
}

static int fill(struct libmnt_fs *fs, const char *source, const char *target, const char *type,
		const char *options)
{
	int rc = mnt_fs_set_source(fs, source);

	if (rc == 0)
		rc = mnt_fs_set_target(fs, target);
	if (rc == 0)
		rc = mnt_fs_set_fstype(fs, type);
	return rc == 0 ? mnt_fs_set_options(fs, options) : rc;
}

int f4_utab_add(const char *source, const char *target, const char *type, const char *subtype,
		const char *options)
{
	f4_auto_free char *words = NULL;
	struct libmnt_update *update;
	struct libmnt_fs *fs;
	int rc = -ENOMEM;

	if (asprintf(&words, "%s%shelper=%s", options ? options : "", options ? "," : "",
		     subtype) < 0) {
		words = NULL;
		return -ENOMEM;
	}
	update = mnt_new_update();
	fs = mnt_new_fs();
	if (update && fs)
		rc = fill(fs, source, target, type, words);
	if (rc == 0)
		rc = mnt_update_set_fs(update, 0, NULL, fs);
	if (rc == 0)
		rc = write_update(update);
	mnt_unref_fs(fs);
	mnt_free_update(update);
	return settle(rc);
}

int f4_utab_remove(const char *target)
{
	struct libmnt_update *update = mnt_new_update();
	int rc;

	if (!update)
		return -ENOMEM;
	rc = mnt_update_set_fs(update, 0, target, NULL);
	if (rc == 0)
		rc = write_update(update);
	mnt_free_update(update);
	return settle(rc);
}
