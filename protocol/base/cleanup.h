/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scope guards: a local that owns something releases it when it goes out of scope.
 *
 * Every destructor used with f4_cleanup takes a pointer to the variable, copes with "nothing
 * owned" (NULL, -1) and leaves errno alone. Ownership leaves a guarded variable only through
 * f4_take_fd() or f4_take_ptr(), which empty it.
 */
#ifndef F4_BASE_CLEANUP_H
#define F4_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define f4_cleanup(fn) __attribute__((cleanup(fn)))

static inline void f4_close_p(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		(void)close(*fd); /* nothing to do about an error: the descriptor is gone either way */
		errno = saved;
		*fd = -1;
	}
}

static inline void f4_free_p(void *pp)
{
	void **p = pp;

	free(*p);
	*p = NULL;
}

#define f4_auto_fd   f4_cleanup(f4_close_p) int
#define f4_auto_free f4_cleanup(f4_free_p)

/* f4_take_fd - the descriptor in @fd, which is -1 afterwards. */
static inline int f4_take_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

/* f4_take_ptr - the pointer in lvalue @p, which is NULL afterwards. */
#define f4_take_ptr(p)                  \
	({                              \
		__typeof__(p) took_ = (p); \
		(p) = NULL;             \
		took_;                  \
	})

#define F4_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define f4_container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
