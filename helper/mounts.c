/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount table; the contract is in mounts.h. */
#include "helper/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/str.h"

/* A hundred thousand mounts (fs.mount-max) with long names fit. */
#define TABLE_MAX (64u << 20)

/* "\040" and its like, in place. */
static char *unescape(char *s)
{
	char *in = s, *out = s;

	while (*in) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
		    in[3] >= '0' && in[3] <= '7') {
			*out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
	return s;
}

/* The next blank-separated field of *@p, cut off; NULL when there is none. */
static char *field(char **p)
{
	char *start = *p, *end;

	if (!start || !*start)
		return NULL;
	end = strchr(start, ' ');
	if (end)
		*end++ = '\0';
	*p = end;
	return start;
}

static bool number(const char *s, unsigned int *ret)
{
	uint64_t n;

	if (!s || f4_str_to_u64(s, 10, INT_MAX, &n) != 0)
		return false;
	*ret = (unsigned int)n;
	return true;
}

static bool parse_dev(char *s, dev_t *ret)
{
	char *colon = s ? strchr(s, ':') : NULL;
	unsigned int major_nr, minor_nr;

	if (!colon)
		return false;
	*colon = '\0';
	if (!number(s, &major_nr) || !number(colon + 1, &minor_nr))
		return false;
	*ret = makedev(major_nr, minor_nr);
	return true;
}

/* One line: id parent major:minor root target options [tags...] - type source super-options */
static bool parse_line(char *line, struct f4_mount *m)
{
	unsigned int id, parent;
	char *tag, *f;

	if (!number(field(&line), &id) || !number(field(&line), &parent) ||
	    !parse_dev(field(&line), &m->dev))
		return false;
	m->id = (int)id;
	m->parent = (int)parent;
	f = field(&line);
	m->root = f ? unescape(f) : NULL;
	f = field(&line);
	m->target = f ? unescape(f) : NULL;
	m->options = field(&line);
	do
		tag = field(&line);
	while (tag && strcmp(tag, "-") != 0);
	f = field(&line);
	m->type = f ? unescape(f) : NULL;
	/* An empty source is an empty field: two blanks in a row. */
	f = line && *line == ' ' ? (*line++ = '\0', line - 1) : field(&line);
	m->source = f ? unescape(f) : NULL;
	m->super_options = field(&line);
	return m->super_options != NULL;
}

static int append(struct f4_mounts *m, size_t *room, const struct f4_mount *mount)
{
	if (m->n == *room) {
		size_t want = *room ? *room * 2 : 64;
		struct f4_mount *v = reallocarray(m->v, want, sizeof(*v));

		if (!v)
			return -ENOMEM;
		m->v = v;
		*room = want;
	}
	m->v[m->n++] = *mount;
	return 0;
}

int f4_mounts_parse(struct f4_mounts *m, char *text)
{
	size_t room = 0;
	char *line = text;

	*m = (struct f4_mounts){ .text = text };
	while (line && *line) {
		char *end = strchr(line, '\n');
		struct f4_mount mount = { 0 };

		if (end)
			*end++ = '\0';
		if (parse_line(line, &mount)) {
			int rc = append(m, &room, &mount);

			if (rc < 0)
				return rc;
		}
		line = end;
	}
	return 0;
}

int f4_mounts_load(struct f4_mounts *m)
{
	f4_auto_fd fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	int rc;

	*m = (struct f4_mounts)F4_MOUNTS_INIT;
	if (fd < 0)
		return -errno;
	rc = f4_fd_slurp(fd, TABLE_MAX, &text, NULL);
	if (rc < 0)
		return rc;
	return f4_mounts_parse(m, text);
}

void f4_mounts_done(struct f4_mounts *m)
{
	free(m->v);
	free(m->text);
	*m = (struct f4_mounts)F4_MOUNTS_INIT;
}

const struct f4_mount *f4_mounts_by_id(const struct f4_mounts *m, int id)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].id == id)
			return &m->v[i];
	return NULL;
}

/* The mount whose parent is @id and whose place is @path; NULL: none. */
static const struct f4_mount *stacked_on(const struct f4_mounts *m, int id, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].parent == id && m->v[i].id != id &&
		    strcmp(m->v[i].target, path) == 0)
			return &m->v[i];
	return NULL;
}

const struct f4_mount *f4_mounts_topmost(const struct f4_mounts *m, const char *path)
{
	const struct f4_mount *top = NULL, *over;

	/*
	 * The lowest one at @path is the one whose parent is somewhere else. Each further mount at
	 * the same place has the one below it as its parent. The number of steps is bounded by the
	 * number of mounts, whatever the table says.
	 */
	for (size_t i = 0; i < m->n; i++) {
		const struct f4_mount *below = f4_mounts_by_id(m, m->v[i].parent);

		if (strcmp(m->v[i].target, path) == 0 &&
		    (!below || below == &m->v[i] || strcmp(below->target, path) != 0))
			top = &m->v[i];
	}
	for (size_t i = 0; top && i < m->n; i++) {
		over = stacked_on(m, top->id, path);
		if (!over)
			break;
		top = over;
	}
	return top;
}

bool f4_mounts_has_child(const struct f4_mounts *m, const struct f4_mount *mount)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].parent == mount->id && m->v[i].id != mount->id)
			return true;
	return false;
}

bool f4_mount_is_ours(const struct f4_mount *mount, const char *subtype)
{
	const char *rest = f4_str_after(mount->type, "fuse.");

	if (!rest)
		rest = f4_str_after(mount->type, "fuseblk.");
	return rest && f4_str_eq(rest, subtype);
}

bool f4_mount_user_id(const struct f4_mount *mount, uid_t *ret)
{
	const char *p = mount->super_options;

	while (p && *p) {
		const char *value = f4_str_after(p, "user_id=");
		size_t len = strcspn(p, ",");
		char digits[16];
		uint64_t n;

		if (value) {
			(void)snprintf(digits, sizeof(digits), "%.*s",
				       (int)(len - strlen("user_id=")), value);
			if (f4_str_to_u64(digits, 10, UINT32_MAX - 1, &n) != 0)
				return false;
			*ret = (uid_t)n;
			return true;
		}
		p += len + (p[len] == ',');
	}
	return false;
}

int f4_fd_mount_id(int fd, int *ret_id)
{
	char path[64];
	f4_auto_free char *text = NULL;
	f4_auto_fd info = -1;
	const char *p;
	int rc;

	/*
	 * Not statx(2): on a dead or hung FUSE mount it fails or waits, and this is asked to find
	 * out just that.
	 */
	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -errno;
	rc = f4_fd_slurp(info, 65536, &text, NULL);
	if (rc < 0)
		return rc;
	p = strstr(text, "\nmnt_id:");
	if (!p || sscanf(p, "\nmnt_id: %d", ret_id) != 1)
		return -EPROTO;
	return 0;
}

int f4_fd_path(int fd, char **ret)
{
	char link[64];
	f4_auto_free char *buf = malloc(2 * PATH_MAX);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, 2 * PATH_MAX);
	if (n < 0)
		return -errno;
	if (n >= 2 * PATH_MAX)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	*ret = f4_take_ptr(buf);
	return 0;
}
