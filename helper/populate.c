/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuse4fs-populate: device nodes and attributes for an image that a user builds.
 *
 * In an image mounted with fakeroot a user does what root does, but for what the kernel lets nobody
 * but root ask for and so never sends: device nodes, attributes in security.* and trusted.*, ACLs of
 * files that are not shown as the user's own.
 * This program asks the server for them by private ioctls (protocol/ioctl.h), after a table. It has
 * its caller's rights, and believes nothing of the image: paths are looked up below the directory
 * that it is given, whatever links are in there.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/base/log.h"
#include "protocol/base/str.h"
#include "protocol/ioctl.h"

#define TOOL	  "fuse4fs-populate"
#define WORDS_MAX 10u
#define COUNT_MAX 65536u
#define NO_CHANGE UINT32_MAX

struct populate {
	int root_fd; /* owned: the directory */
	unsigned long line;
	bool verbose;
	bool failed; /* some line did */
};

/* A line of the table: NAME TYPE MODE UID GID MAJOR MINOR START INC COUNT. */
struct entry {
	const char *path;
	char type;
	uint32_t mode, uid, gid, major, minor, start, inc, count;
};

__attribute__((format(printf, 4, 5))) static bool say(const struct populate *p, const char *path,
						      int error, const char *fmt, ...)
{
	char words[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, ap); /* cut, it still tells */
	va_end(ap);
	f4_err("line %lu: %s: %s%s%s", p->line, path, words, error ? ": " : "",
	       error ? strerrordesc_np(error) : "");
	return false;
}

/*
 * The directory that @path is in, below the root, and its last component. Return: a descriptor, or
 * -1 after a message.
 */
static int open_parent(const struct populate *p, const char *path, char *ret_name, size_t size)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	f4_auto_free char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	const char *name = slash ? slash + 1 : path;
	long fd;

	if (!dir || f4_str_copy(ret_name, size, name) < 0) {
		(void)say(p, path, dir ? ENAMETOOLONG : ENOMEM, "can't be used");
		return -1;
	}
	if (slash)
		*slash = '\0';
	if (f4_str_eq(name, ".") || f4_str_eq(name, "..")) {
		(void)say(p, path, EINVAL, "a path must end with a name");
		return -1;
	}
	fd = syscall(SYS_openat2, p->root_fd, slash && dir[0] ? dir : ".", &how, sizeof(how));
	if (fd < 0)
		(void)say(p, path, errno, "its directory can't be opened");
	return (int)fd;
}

/* --- devices ------------------------------------------------------------------------------- */

static bool make_device(const struct populate *p, const struct entry *e, const char *path,
			uint32_t minor)
{
	static unsigned int serial;
	struct f4_mknod arg = {
		.mode = (e->mode & 07777) | (uint32_t)(e->type == 'c' ? S_IFCHR : S_IFBLK),
		.major = e->major,
		.minor = minor,
	};
	char name[F4_IOC_NAME_BYTES];
	f4_auto_fd dir = open_parent(p, path, name, sizeof(name));

	if (dir < 0)
		return false;
	/* Under a name that nobody has looked up, so that the kernel has no memory of it. */
	(void)snprintf(arg.name, sizeof(arg.name), ".fuse4fs-%d-%u", (int)getpid(), serial++);
	if (ioctl(dir, F4_IOC_MKNOD, &arg) < 0)
		return say(p, path, errno == ENOTTY ? 0 : errno, "%s",
			   errno == ENOTTY || errno == EPERM ?
				   "no device can be made: not in a mount of mount.fuse4fs -o fakeroot" :
				   "no device can be made");
	if (fchownat(dir, arg.name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) == 0 &&
	    renameat2(dir, arg.name, dir, name, RENAME_NOREPLACE) == 0)
		return true;
	(void)say(p, path, errno, "the device can't be put there");
	(void)unlinkat(dir, arg.name, 0);
	return false;
}

static bool make_devices(const struct populate *p, const struct entry *e)
{
	f4_auto_free char *path = NULL;

	if (e->count == 0)
		return make_device(p, e, e->path, e->minor);
	for (uint32_t i = 0; i < e->count; i++) {
		free(f4_take_ptr(path));
		if (asprintf(&path, "%s%u", e->path, e->start + i) < 0)
			return say(p, e->path, ENOMEM, "can't be made");
		if (!make_device(p, e, path, e->minor + i * e->inc))
			return false;
	}
	return true;
}

/* --- others -------------------------------------------------------------------------------- */

static bool set_owner_and_mode(const struct populate *p, const struct entry *e, int dir,
			       const char *name)
{
	/* Owner first: changing it takes set-uid away. */
	if (fchownat(dir, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return say(p, e->path, errno, "its owner can't be changed");
	if (fchmodat(dir, name, e->mode & 07777, 0) < 0)
		return say(p, e->path, errno, "its mode can't be changed");
	return true;
}

static bool make_other(const struct populate *p, const struct entry *e)
{
	char name[F4_IOC_NAME_BYTES];
	f4_auto_fd dir = open_parent(p, e->path, name, sizeof(name));
	const char *at = name[0] ? name : ".";
	mode_t kind = e->type == 'd' ? S_IFDIR : e->type == 'p' ? S_IFIFO : S_IFREG;
	struct stat st;

	if (dir < 0)
		return false;
	if (e->type == 'd' && name[0] && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return say(p, e->path, errno, "can't be made");
	if (e->type == 'p' && mknodat(dir, at, S_IFIFO | 0600, 0) < 0)
		return say(p, e->path, errno, "can't be made");
	if (fstatat(dir, at, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return say(p, e->path, errno, "can't be found");
	if ((st.st_mode & S_IFMT) != kind)
		return say(p, e->path, EEXIST, "something of another kind is there");
	return set_owner_and_mode(p, e, dir, at);
}

/* --- attributes ---------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Text, or bytes as "0x...", the way that getfattr(1) shows them. */
static bool decode_value(const char *text, struct f4_setxattr *x)
{
	const char *hex = f4_str_after(text, "0x");
	size_t len = strlen(hex ? hex : text);

	if (!hex) {
		if (len > sizeof(x->value))
			return false;
		memcpy(x->value, text, len);
		x->size = (uint32_t)len;
		return true;
	}
	if (len % 2 || len / 2 > sizeof(x->value))
		return false;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return false;
		x->value[i / 2] = (uint8_t)(high << 4 | low);
	}
	x->size = (uint32_t)(len / 2);
	return true;
}

static bool set_attribute(const struct populate *p, const char *path, const char *name,
			  const char *value)
{
	struct f4_setxattr x = { 0 };
	f4_auto_fd dir = open_parent(p, path, x.file, sizeof(x.file));

	if (dir < 0)
		return false;
	if (f4_str_copy(x.name, sizeof(x.name), name) < 0 || !decode_value(value, &x))
		return say(p, path, 0, "attribute %s: not a value of up to %u bytes, as text or as 0x...",
			   name, F4_IOC_VALUE_BYTES);
	if (ioctl(dir, F4_IOC_SETXATTR, &x) < 0)
		return say(p, path, errno, "attribute %s can't be set%s", name,
			   errno == EINVAL ? " (only security.*, trusted.* and system.posix_acl_*; else use setfattr)" : "");
	return true;
}

/* --- the table ----------------------------------------------------------------------------- */

static size_t split(char *line, char *words[WORDS_MAX + 1])
{
	size_t n = 0;

	for (char *s = line + strspn(line, " \t\n"); *s && n <= WORDS_MAX; s += strspn(s, " \t\n")) {
		words[n++] = s;
		s += strcspn(s, " \t\n");
		if (*s)
			*s++ = '\0';
	}
	return n;
}

static bool read_number(const char *s, unsigned int base, uint64_t max, uint32_t *ret)
{
	uint64_t n;

	if (f4_str_eq(s, "-")) {
		*ret = 0;
		return true;
	}
	if (f4_str_to_u64(s, base, max, &n) != 0)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool read_entry(char *words[], size_t n, struct entry *e)
{
	const struct {
		uint32_t *to;
		unsigned int base;
		uint32_t max;
	} t[] = {
		{ &e->mode, 8, 07777 },		    { &e->uid, 10, UINT32_MAX - 1 },
		{ &e->gid, 10, UINT32_MAX - 1 },    { &e->major, 10, 0xfff },
		{ &e->minor, 10, 0xfffff },	    { &e->start, 10, UINT32_MAX / 2 },
		{ &e->inc, 10, 0xffff },	    { &e->count, 10, COUNT_MAX },
	};

	*e = (struct entry){ .path = words[0], .type = words[1][0] };
	if (words[1][1] || n < 5)
		return false;
	for (size_t i = 2; i < n; i++)
		if (!read_number(words[i], t[i - 2].base, t[i - 2].max, t[i - 2].to))
			return false;
	return true;
}

static bool do_line(const struct populate *p, char *line)
{
	char *words[WORDS_MAX + 1];
	struct entry e;
	size_t n;

	line[strcspn(line, "#")] = '\0';
	n = split(line, words);
	if (n == 0)
		return true;
	if (p->verbose)
		f4_info("%s", words[0]);
	if (n == 4 && f4_str_eq(words[1], "x"))
		return set_attribute(p, words[0], words[2], words[3]);
	if (n < 2 || n > WORDS_MAX || !read_entry(words, n, &e))
		return say(p, words[0], 0, "not NAME TYPE MODE UID GID [MAJOR MINOR [START INC COUNT]], "
					   "and not NAME x ATTRIBUTE VALUE");
	switch (e.type) {
	case 'b':
	case 'c':
		return n >= 7 ? make_devices(p, &e) : say(p, e.path, 0, "a device needs its numbers");
	case 'd':
	case 'f':
	case 'p':
		return make_other(p, &e);
	default:
		return say(p, e.path, 0, "type %c: one of b, c, d, f, p, x", e.type);
	}
}

static void do_table(struct populate *p, FILE *table)
{
	f4_auto_free char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, table) > 0) {
		p->line++;
		if (!do_line(p, line))
			p->failed = true;
	}
}

static int usage(int status)
{
	(void)fputs("usage: " TOOL " [-v] DIRECTORY [TABLE]\n"
		    "Make device nodes, and set owners, modes and attributes, in an image that is mounted\n"
		    "with mount.fuse4fs -o fakeroot. See " TOOL "(1).\n",
		    status ? stderr : stdout);
	return status;
}

int main(int argc, char *argv[])
{
	struct populate p = { .root_fd = -1 };
	FILE *table = stdin;
	int c;

	f4_log_init(TOOL, F4_LOG_NOTICE);
	if (f4_fd_ensure_stdio() < 0)
		return 1;
	(void)umask(0);
	while ((c = getopt(argc, argv, "hvV")) != -1) {
		switch (c) {
		case 'h':
			return usage(0);
		case 'v':
			p.verbose = true;
			f4_log_init(TOOL, F4_LOG_INFO);
			break;
		case 'V':
			return puts(TOOL " " F4_VERSION) < 0;
		default:
			return usage(1);
		}
	}
	if (argc - optind < 1 || argc - optind > 2)
		return usage(1);
	p.root_fd = open(argv[optind], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p.root_fd >= 0 && argv[optind + 1] && !f4_str_eq(argv[optind + 1], "-"))
		table = fopen(argv[optind + 1], "re");
	if (p.root_fd < 0 || !table) {
		f4_err("%s: %s", p.root_fd < 0 ? argv[optind] : argv[optind + 1], strerrordesc_np(errno));
		f4_close_p(&p.root_fd);
		return 1;
	}
	do_table(&p, table);
	if (ferror(table) || (table != stdin && fclose(table) != 0)) {
		f4_err("the table can't be read to its end");
		p.failed = true;
	}
	f4_close_p(&p.root_fd);
	return p.failed;
}
