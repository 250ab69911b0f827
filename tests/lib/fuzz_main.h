/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plain main for a fuzzer, so that `make check` runs it with any compiler.
 *
 *   FUZZER [-n RUNS] [-s SEED] [-k FILE] [FILE|DIR ...]
 *
 * Replays each file, then does RUNS mutations of them: the same SEED gives the same inputs. -k keeps
 * the present input in FILE: what is there after a crash is what crashed it. With -DF4_LIBFUZZER the
 * library brings its own main and this one goes away.
 */
#ifndef F4_TESTS_FUZZ_MAIN_H
#define F4_TESTS_FUZZ_MAIN_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef F4_LIBFUZZER

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUZZ_INPUTS_MAX 4096u
#define FUZZ_SIZE_MAX	(128u << 10)

static struct {
	uint8_t *bytes;
	size_t size;
} fuzz_inputs[FUZZ_INPUTS_MAX];
static size_t fuzz_n;
static uint64_t fuzz_state;
static const char *fuzz_keep;

static uint64_t fuzz_random(void) /* xorshift64*: repeatable anywhere */
{
	fuzz_state ^= fuzz_state >> 12;
	fuzz_state ^= fuzz_state << 25;
	fuzz_state ^= fuzz_state >> 27;
	return fuzz_state * 0x2545f4914f6cdd1dull;
}

static void fuzz_load(const char *path)
{
	struct stat st;
	FILE *f;
	uint8_t *p;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		DIR *d = opendir(path);
		struct dirent *e;

		while (d && (e = readdir(d))) {
			char sub[4096];

			if (e->d_name[0] == '.')
				continue;
			snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
			fuzz_load(sub);
		}
		if (d)
			closedir(d);
		return;
	}
	f = fopen(path, "rb");
	p = malloc(FUZZ_SIZE_MAX);
	if (!f || !p || fuzz_n == FUZZ_INPUTS_MAX) {
		fprintf(stderr, "%s: cannot load\n", path);
		exit(2);
	}
	fuzz_inputs[fuzz_n].bytes = p;
	fuzz_inputs[fuzz_n++].size = fread(p, 1, FUZZ_SIZE_MAX, f);
	fclose(f);
}

static void fuzz_save(const uint8_t *bytes, size_t size)
{
	FILE *f = fuzz_keep ? fopen(fuzz_keep, "wb") : NULL;

	if (f && (fwrite(bytes, 1, size, f) != size || fclose(f) != 0))
		exit(2);
}

/* One input in a buffer of exactly its size, so that a sanitizer sees the first byte too far. */
static void fuzz_run(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	fuzz_save(bytes, size);
	if (!exact)
		exit(2);
	memcpy(exact, bytes, size);
	(void)LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static size_t fuzz_mutate_once(uint8_t *b, size_t size)
{
	static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	size_t at = size ? fuzz_random() % size : 0;

	switch (fuzz_random() % 6) {
	case 0: /* flip a bit */
		if (size)
			b[at] ^= (uint8_t)(1u << fuzz_random() % 8);
		return size;
	case 1: /* an edge value */
		if (size)
			b[at] = edges[fuzz_random() % sizeof(edges)];
		return size;
	case 2: /* the same over four bytes */
		for (size_t i = at; i < size && i < at + 4; i++)
			b[i] = edges[fuzz_random() % 2 ? 4 : 0];
		return size;
	case 3: /* cut */
		return at;
	case 4: /* grow */
		if (size + 64 < FUZZ_SIZE_MAX) {
			size_t n = 1 + fuzz_random() % 63;

			memset(b + size, (int)(fuzz_random() % 2 ? 0 : fuzz_random()), n);
			size += n;
		}
		return size;
	default: /* any byte */
		if (size)
			b[at] = (uint8_t)fuzz_random();
		return size;
	}
}

static void fuzz_mutations(unsigned long runs)
{
	static uint8_t b[FUZZ_SIZE_MAX];

	for (unsigned long i = 0; i < runs; i++) {
		size_t size = 0;

		if (fuzz_n > 0) {
			size_t pick = fuzz_random() % fuzz_n;

			size = fuzz_inputs[pick].size;
			memcpy(b, fuzz_inputs[pick].bytes, size);
		}
		for (uint64_t k = 1 + fuzz_random() % 4; k > 0; k--)
			size = fuzz_mutate_once(b, size);
		fuzz_run(b, size);
	}
}

int main(int argc, char **argv)
{
	unsigned long runs = 0;
	uint64_t seed = 1;
	int c;

	while ((c = getopt(argc, argv, "n:s:k:")) != -1) {
		if (c == 'n')
			runs = strtoul(optarg, NULL, 10);
		else if (c == 's')
			seed = strtoul(optarg, NULL, 10);
		else if (c == 'k')
			fuzz_keep = optarg;
		else
			return 2;
	}
	for (int i = optind; i < argc; i++)
		fuzz_load(argv[i]);
	for (size_t i = 0; i < fuzz_n; i++)
		fuzz_run(fuzz_inputs[i].bytes, fuzz_inputs[i].size);
	fuzz_state = seed * 0x9e3779b97f4a7c15ull + 1;
	fuzz_mutations(runs);
	printf("%zu inputs, %lu mutations\n", fuzz_n, runs);
	for (size_t i = 0; i < fuzz_n; i++)
		free(fuzz_inputs[i].bytes);
	return 0;
}

#endif
#endif
