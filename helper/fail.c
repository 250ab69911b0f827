/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Failures with their reason; the contract is in fail.h. */
#include "helper/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int f4_fail(struct f4_fail *f, enum f4_exit status, int error, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	if (f->status != F4_EXIT_OK)
		return F4_FAILED;
	f->status = status;
	f->error = error;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap); /* cut: the beginning tells enough */
	va_end(ap);
	len = strlen(f->text);
	if (error)
		(void)snprintf(f->text + len, sizeof(f->text) - len, ": %s", strerror(error));
	return F4_FAILED;
}

int f4_fail_oom(struct f4_fail *f)
{
	return f4_fail(f, F4_EXIT_SYSTEM, ENOMEM, "no memory");
}
