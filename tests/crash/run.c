/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "tests/crash/lab.h"

static void note_line(void *arg, int level, const char *line)
{
	struct lab *l = arg;

	if (level <= LOG_WARNING)
		snprintf(l->last_line, sizeof(l->last_line), "%s", line);
}

int lab_open(struct lab *l, const struct shape *shape, struct f4_disk *disk, struct f4_volume **ret)
{
	struct f4_volume_params p = {
		.disk = f4_sim_borrow(disk),
		.opt = { .resuid = -1, .resgid = -1, .no_mmp_wait = true,
			 .data_mode = shape->data_journal ? F4_DATA_JOURNAL : F4_DATA_ORDERED,
			 .cache_bytes = 8u << 20 },
		.log = note_line,
		.log_arg = l,
	};

	l->last_line[0] = 0;
	return f4_volume_open(&p, ret);
}

/* The last transaction that may hold something of the requests so far. */
static f4_tid last_tid(struct f4_journal *j)
{
	const struct f4_txn *t = j->running;

	return t && (t->nbufs > 0 || t->revokes.count > 0) ? t->tid : j->committed_tid;
}

static void request_begins(struct lab *l)
{
	l->op++;
	l->op_ino = 0;
	l->op_sync = false;
}

static void request_ends(struct lab *l, uint64_t commits_before)
{
	struct f4_journal_stats st;
	char where[128];
	uint32_t n = l->op, floor = l->floor[n - 1];
	int r = tree_read(l->vol, &l->trees[n], where);

	if (r < 0) {
		printf("    the running volume can't be read: %d at %s\n", r, where);
		l->broken = true;
	}
	f4_journal_get_stats(l->vol->journal, &st);
	if (st.commits != commits_before && !l->op_sync)
		l->soft_ino[n] = l->op_ino;
	l->tid[n] = last_tid(l->vol->journal);
	for (uint32_t i = floor; i <= n; i++)
		if (!f4_tid_after(l->tid[i], l->vol->journal->committed_tid))
			floor = i;
	l->floor[n] = floor;
	l->n_ops = n;
	f4_sim_mark(l->disk, n);
}

static uint64_t commits(struct lab *l)
{
	struct f4_journal_stats st;

	f4_journal_get_stats(l->vol->journal, &st);
	return st.commits;
}

/* The live files against the model: what the core got wrong without any crash. */
static void check_live(struct lab *l)
{
	const struct tree *t = &l->trees[l->n_ops];

	for (size_t i = 0; i < t->n && !l->broken; i++) {
		const struct rec *rec = &t->recs[i];
		f4_auto_inode *f = NULL;
		f4_auto_free uint8_t *buf = NULL;
		const char *bad = "unreadable";
		uint64_t unit = 0;
		size_t got = 0;

		if ((rec->mode & 0170000) != 0100000 || strcmp(rec->path, "/ballast") == 0)
			continue;
		buf = calloc(1, rec->size + UNIT);
		if (f4_inode_get(l->vol, rec->ino, 0, &f) == 0 &&
		    f4_file_read(f, buf, rec->size, 0, &got) == 0 && got == rec->size)
			bad = model_check(l->model, rec->ino, rec->generation, buf, got, l->n_ops,
					  l->n_ops, l->n_ops, true, &unit);
		if (!bad)
			continue;
		model_explain(l->model, rec->ino, rec->generation, unit, buf + unit * UNIT);
		printf("    without any crash: %s, piece %llu: %s\n", rec->path,
		       (unsigned long long)unit, bad);
		l->broken = true;
	}
}

static void begin(struct lab *l)
{
	char where[128];
	int r = lab_open(l, l->shape, l->disk, &l->vol);

	if (r == 0 && l->shape->fill)
		r = lab_fill(l);
	if (r == 0)
		r = f4_volume_sync(l->vol);
	if (r == 0)
		r = tree_read(l->vol, &l->trees[0], where);
	if (r < 0) {
		printf("    can't begin: %d %s\n", r, l->last_line);
		l->broken = true;
		return;
	}
	l->tid[0] = last_tid(l->vol->journal);
	/* Crashes before this mark are of the mount itself; the beginning is durable after it. */
	f4_sim_mark(l->disk, 0);
}

void lab_run(struct lab *l, const struct workload *load, const struct shape *shape,
	     struct f4_disk *image, uint64_t seed, uint32_t n, uint32_t faults)
{
	memset(l, 0, sizeof(*l));
	l->load = load;
	l->shape = shape;
	l->image = image;
	l->rnd = seed * 0x9e3779b97f4a7c15ull + 12345;
	l->disk = f4_sim_clone(image);
	l->model = model_new();
	f4_sim_record(l->disk);
	/*
	 * ext4 reads its superblock, with a checksum over both sectors, before the log: no
	 * implementation survives one that is torn. Devices write 4 KiB whole.
	 */
	f4_sim_atomic(l->disk, F4_SB_OFFSET, F4_SB_SIZE);
	begin(l);
	if (l->broken)
		return;
	f4_journal_plant(l->vol->journal, faults);
	for (uint32_t i = 0; i < n && i < MAX_OPS && !l->broken; i++) {
		uint64_t before = commits(l);
		int r;

		request_begins(l);
		r = lab_request(l);
		if (r < 0 && faults == 0) {
			printf("    request %u: %d %s\n", l->op, r, l->last_line);
			l->broken = true;
		}
		request_ends(l, before);
	}
	if (faults == 0)
		check_live(l);
}

void lab_done(struct lab *l)
{
	if (l->vol) {
		for (uint32_t i = 0; i < MAX_HELD; i++)
			f4_inode_put(f4_take_ptr(l->held[i]));
		(void)f4_volume_shutdown(l->vol, false); /* what it still has to say is not of interest */
		(void)f4_volume_close(l->vol);
	}
	for (uint32_t i = 0; i <= l->n_ops; i++)
		tree_done(&l->trees[i]);
	model_free(l->model);
	f4_disk_free(l->disk);
	memset(l, 0, sizeof(*l));
}
