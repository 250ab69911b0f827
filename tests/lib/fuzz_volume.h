/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzzers of the core share: base images, damage, opening.
 *
 * $F4_FUZZ_IMAGES names a folder of images (small: they are kept in memory); tests/cases/fuzz-image
 * makes them. An input is: which image, how it is opened, how many damages, the damages, and what
 * the target makes of the rest. A damage hits a 4 KiB piece that is not all zero, so nearly every
 * one hits metadata or content. An input that takes longer than LIMIT_S seconds is a failure.
 */
#ifndef F4_TESTS_FUZZ_VOLUME_H
#define F4_TESTS_FUZZ_VOLUME_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/ext4/csum.h"
#include "server/ext4/dir.h"
#include "server/ext4/file.h"
#include "server/ext4/map.h"
#include "server/ext4/ops.h"
#include "server/ext4/xattr.h"
#include "tests/lib/disk_sim.h"

#define FV_IMAGES_MAX 64u
#define FV_PIECE      4096u
#define FV_LIMIT_S    60u

struct fv_image {
	struct f4_disk *disk;
	uint32_t *piece; /* that hold something */
	size_t n;
};
static struct fv_image fv_images[FV_IMAGES_MAX];
static size_t fv_n;

struct fv_input {
	const uint8_t *p;
	size_t left;
};

/* The next bytes of the input as a number; zeroes behind its end. */
static uint32_t fv_u32(struct fv_input *in)
{
	uint8_t b[4] = { 0 };
	size_t n = in->left < 4 ? in->left : 4;

	memcpy(b, in->p, n);
	in->p += n;
	in->left -= n;
	return f4_load_le32(b);
}

static uint8_t fv_u8(struct fv_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

static int fv_is_image(const struct dirent *e)
{
	return strstr(e->d_name, ".img") != NULL;
}

static void fv_load_one(const char *path)
{
	struct fv_image *img = &fv_images[fv_n];
	uint64_t size;

	img->disk = f4_sim_load(path);
	if (!img->disk)
		exit(2);
	size = img->disk->size_bytes;
	img->piece = calloc(size / FV_PIECE + 1, sizeof(*img->piece));
	for (uint64_t pos = 0; img->piece && pos + FV_PIECE <= size; pos += FV_PIECE) {
		static const uint8_t zero[FV_PIECE];
		uint8_t buf[FV_PIECE];

		if (f4_disk_read(img->disk, buf, sizeof(buf), pos) == 0 &&
		    memcmp(buf, zero, sizeof(buf)) != 0)
			img->piece[img->n++] = (uint32_t)(pos / FV_PIECE);
	}
	if (img->n == 0)
		exit(2);
	fv_n++;
}

static void fv_load(void)
{
	const char *dir = getenv("F4_FUZZ_IMAGES");
	struct dirent **names;
	int n = dir ? scandir(dir, &names, fv_is_image, alphasort) : -1;

	if (n <= 0 || n > (int)FV_IMAGES_MAX) {
		fprintf(stderr, "F4_FUZZ_IMAGES must name a folder of up to %u images\n",
			FV_IMAGES_MAX);
		exit(2);
	}
	for (int i = 0; i < n; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		fv_load_one(path);
		free(names[i]);
	}
	free(names);
}

/* The superblock is the gate: its checksum is made right again. */
static void fv_seal(struct f4_disk *d)
{
	struct f4_super sb;

	if (f4_disk_read(d, &sb, sizeof(sb), F4_SB_OFFSET) < 0)
		return;
	sb.s_checksum = f4_mk_le32(f4_crc32c(~0u, &sb, offsetof(struct f4_super, s_checksum)));
	(void)f4_disk_write(d, &sb, sizeof(sb), F4_SB_OFFSET);
}

static void fv_damage(struct f4_disk *d, const struct fv_image *img, struct fv_input *in)
{
	uint32_t where = fv_u32(in), kind = fv_u8(in), value = fv_u32(in);
	uint64_t pos = (uint64_t)img->piece[(where >> 12) % img->n] * FV_PIECE + where % FV_PIECE;
	uint32_t old = 0, len = kind & 1 ? 4 : kind & 2 ? 2 : 1;

	pos &= ~(uint64_t)(len - 1);
	(void)f4_disk_read(d, &old, len, pos);
	switch (kind >> 2 & 3) {
	case 0:
		break;
	case 1:
		value = old + 1 + value % 16;
		break;
	case 2:
		value = old ^ 1u << value % 32;
		break;
	default:
		value = value & 1 ? 0xffffffff : 0;
	}
	(void)f4_disk_write(d, &value, len, pos);
}

static void fv_silent(void *arg, int level, const char *line)
{
	if (getenv("F4_FUZZ_VERBOSE"))
		fprintf(stderr, "<%d>%s\n", level, line);
}

/* The volume of an input; NULL: it is refused. */
static struct f4_volume *fv_open(struct fv_input *in)
{
	const struct fv_image *img;
	struct f4_volume_params vp = {
		.opt = { .no_mmp_wait = true, .resuid = -1, .resgid = -1, .cache_bytes = 1 << 20 },
		.log = fv_silent,
	};
	struct f4_volume *vol;
	uint32_t how, n;

	if (fv_n == 0)
		fv_load();
	(void)alarm(FV_LIMIT_S);
	img = &fv_images[fv_u8(in) % fv_n];
	how = fv_u8(in);
	vp.opt.read_only = (how & 7) == 7;
	vp.opt.no_recovery = (how & 15) == 15;
	vp.opt.on_error = how & 16 ? F4_ON_ERROR_CONTINUE : F4_ERRORS_DEFAULT;
	vp.opt.data_mode = (how & 96) == 96 ? F4_DATA_JOURNAL : F4_DATA_ORDERED;
	vp.opt.quota_usr = vp.opt.quota_prj = how & 128;
	vp.disk = f4_sim_clone(img->disk);
	for (n = fv_u8(in) % 24; n > 0; n--)
		fv_damage(vp.disk, img, in);
	fv_seal(vp.disk);
	return f4_volume_open(&vp, &vol) == 0 ? vol : NULL;
}

#endif
