/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a helper failed: the exit status of mount(8) and one line for a person.
 *
 * Only main prints. Every other function of the helper that can fail for a reason worth telling
 * takes a struct f4_fail and fills it in once, where the reason is known: the object, what failed,
 * why, what to do. The first reason stays; what fails afterwards because of it adds nothing.
 */
#ifndef F4_HELPER_FAIL_H
#define F4_HELPER_FAIL_H

/* Exit statuses of mount(8). */
enum f4_exit {
	F4_EXIT_OK = 0,
	F4_EXIT_USAGE = 1,	  /* wrong invocation, or not permitted */
	F4_EXIT_SYSTEM = 2,	  /* out of memory, no process, no /dev/fuse */
	F4_EXIT_INTERNAL = 4,	  /* our own fault */
	F4_EXIT_INTERRUPTED = 8,  /* a signal */
	F4_EXIT_UTAB = 16,	  /* mounted, but not written down */
	F4_EXIT_FAILED = 32,	  /* the mount or unmount failed */
};

struct f4_fail {
	enum f4_exit status; /* F4_EXIT_OK: nothing failed yet */
	int error;	     /* positive errno behind it, or 0 */
	char text[1536];     /* one line, raw bytes: the log escapes */
};

/* What functions return after they filled in a struct f4_fail. */
enum { F4_FAILED = 1 };

/*
 * f4_fail - note a failure, unless one is noted already.
 * @error: positive errno behind it, 0 when there is none; its words are added to the line
 * Return: F4_FAILED, for `return f4_fail(...)`.
 */
int f4_fail(struct f4_fail *f, enum f4_exit status, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* f4_fail_oom - the usual one. */
int f4_fail_oom(struct f4_fail *f);

#endif
