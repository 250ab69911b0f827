/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order of the seal's steps and what is demanded where.
 */
#include "server/service/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "seccomp/filter.h"
#include "server/service/seal_stages.h"

enum need { DEMANDED, WANTED };

/*
 * Under a service manager the unit may already have taken the right to make namespaces away, and
 * with it that to make an empty root. Everything else works everywhere and must.
 */
static const struct {
	const char *name;
	int (*run)(struct f4_seal *s);
	enum need need[F4_SEAL_PLACE_MAX];
} steps[] = {
	/*                                               manager   root      user */
	{ "own user id",      f4_seal_identity,	     { DEMANDED, DEMANDED, DEMANDED } },
	{ "own namespaces",   f4_seal_namespaces,    { DEMANDED, DEMANDED, DEMANDED } },
	{ "empty root",	      f4_seal_root,	     { WANTED,	 DEMANDED, DEMANDED } },
	{ "no capabilities",  f4_seal_caps,	     { DEMANDED, DEMANDED, DEMANDED } },
	{ "Landlock",	      f4_seal_landlock,	     { DEMANDED, DEMANDED, DEMANDED } },
	{ "limits",	      f4_seal_limits_early,  { DEMANDED, DEMANDED, DEMANDED } },
};

int f4_seal_fail(struct f4_seal *s, int err, const char *fmt, ...)
{
	int len;
	va_list ap;

	va_start(ap, fmt);
	len = vsnprintf(s->reason, sizeof(s->reason), fmt, ap);
	va_end(ap);
	if (len >= 0 && (size_t)len < sizeof(s->reason))
		(void)snprintf(s->reason + len, sizeof(s->reason) - (size_t)len, ": %s",
			       strerror(-err)); /* a cut reason is still a reason */
	return err;
}

void f4_seal_note(struct f4_seal *s, const char *what)
{
	size_t len = strlen(s->notes);

	(void)snprintf(s->notes + len, sizeof(s->notes) - len, "%s%s", len ? ", " : "", what);
}

/* stdin is of no use to a server; a file that is empty for ever takes its place. */
static int replace_stdin(struct f4_seal *s)
{
	f4_auto_fd fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0) /* a container without /dev */
		fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
		return f4_seal_fail(s, -errno, "replacing stdin");
	return 0;
}

static int compare_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 1);
}

/*
 * What the C library does at first use, while it still can: the time zone file, the memory size that
 * decides how qsort works, the number of allocator arenas (asked from the CPUs otherwise).
 */
static int warm_up(struct f4_seal *s)
{
	f4_auto_free char *block = calloc(4096, 1);

	if (!block)
		return f4_seal_fail(s, -ENOMEM, "start");
	tzset();
	qsort(block, 4096, 1, compare_bytes);
	(void)mallopt(M_ARENA_MAX, 8); /* a hint */
	return 0;
}

int f4_seal_prepare(struct f4_seal *s, enum f4_seal_place place, int keep)
{
	int r, persona;

	memset(s, 0, sizeof(*s));
	s->place = place;
	s->uid = getuid();
	s->gid = getgid();
	s->uid_lock = -1;
	if (close_range((unsigned int)keep + 1, ~0u, 0) < 0)
		return f4_seal_fail(s, -errno, "closing inherited descriptors");
	r = f4_fd_ensure_stdio();
	if (r < 0)
		return f4_seal_fail(s, r, "standard descriptors");
	r = replace_stdin(s);
	if (r < 0)
		return r;
	umask(077);
	/* setarch -X would make every readable page executable. */
	persona = personality(0xffffffff);
	if (persona >= 0 && (persona & READ_IMPLIES_EXEC) &&
	    personality((unsigned long)persona & ~(unsigned long)READ_IMPLIES_EXEC) < 0)
		return f4_seal_fail(s, -errno, "personality");
	/*
	 * Memory for a request may have to be freed by writing pages to this very filesystem: tell the
	 * kernel not to wait for that here. It lets only a privileged process say so.
	 */
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	return warm_up(s);
}

int f4_seal_isolate(struct f4_seal *s)
{
	int r;

	for (size_t i = 0; i < F4_ARRAY_LEN(steps); i++) {
		r = steps[i].run(s);
		if (r == 0)
			continue;
		if (steps[i].need[s->place] == DEMANDED)
			return r;
		f4_seal_note(s, steps[i].name);
	}
	return 0;
}

int f4_seal_close(struct f4_seal *s, const struct f4_seccomp_policy *policy, unsigned int with)
{
	int r = f4_seal_limits_late(s);

	if (r < 0)
		return r;
	r = f4_seccomp_install(policy, with);
	if (r < 0)
		return f4_seal_fail(s, r, "system call filter");
	return 0;
}

void f4_seal_done(struct f4_seal *s)
{
	f4_close_p(&s->uid_lock);
}
