# fuse4fs: build, test and install. One file, not recursive; `make help` lists the targets.
#
# Variables, all optional:
#   V=1            show the commands
#   O=DIR          build there (default: build, build-$(D) for a D= build)
#   D=asan,ubsan   instrumented build: any of asan ubsan tsan gcov, comma separated
#   CC=clang       another compiler
#   WERROR=        let warnings pass (for packagers; developers and CI keep -Werror)
#   CFLAGS=...     replaces "-O2 -g"; what the program needs is kept apart from it
#   prefix=/usr/local  mountdir=/sbin libexecdir= bindir= mandir= unitdir= sysusersdir= tmpfilesdir=   where `make install` puts things
#   docdir=        where `make install` leaves what an administrator may want to copy
#   DESTDIR=       a staging root put in front of all of them
#   IMG= DIR=      for `make run`: mount this image at that directory
#   TESTS="a b"    for `make check`: only tests whose name matches one of these patterns

SHELL := /bin/bash
# for targets that begin with `deps`, which must not run beside the build: each core works, unless -j said how many
parallel = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-builtin-variables

VERSION := 0.1.0

comma := ,
D ?=
O ?= build$(if $(D),-$(subst $(comma),-,$(D)))
ifeq ($(filter command% environment%,$(origin CC)),)
CC := gcc
endif
ifeq ($(filter command% environment%,$(origin AR)),)
AR := ar
endif
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
WERROR ?= -Werror

prefix ?= /usr/local
# mount(8) and umount(8) look for their helpers in /sbin and nowhere else, whatever the prefix.
mountdir ?= /sbin
libexecdir ?= $(prefix)/libexec/fuse4fs
bindir ?= $(prefix)/bin
mandir ?= $(prefix)/share/man
unitdir ?= $(prefix)/lib/systemd/system
docdir ?= $(prefix)/share/doc/fuse4fs
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d

ifneq ($(V),1)
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)'
else
Q :=
say = @:
endif

# --- compiler flags, each with its reason ---------------------------------------------------
WARN := -Wall -Wextra            # the common ground
WARN += -Wshadow                 # an inner variable that hides an outer one hides a bug
WARN += -Wformat=2               # format strings are an attack surface
ifeq ($(findstring clang,$(CC)),)
WARN += -Wformat-signedness      # gcc only
endif
WARN += -Wmissing-prototypes -Wmissing-declarations # every symbol is static or in a header
WARN += -Wstrict-prototypes -Wold-style-definition  # no K&R leftovers
WARN += -Wpointer-arith -Wcast-align -Wundef -Wwrite-strings
WARN += -Wvla                    # no stack allocation sized by input
WARN += -Wswitch-enum            # a new enum value must be thought about everywhere
WARN += -Wimplicit-fallthrough -Wredundant-decls -Wnested-externs
WARN += -Wdate-time              # reproducible builds
WARN += -Wno-unused-parameter    # callbacks have the arguments that they have
# The two places that face peers of other rights also mind every implicit conversion.
WARN_BOUNDARY := -Wconversion -Wsign-conversion

HARDEN := -fPIE                  # position independent, for address randomisation
HARDEN += -fstack-protector-strong -fstack-clash-protection
HARDEN += -fcf-protection=full   # x86: indirect branch tracking
HARDEN += -fno-strict-aliasing   # raw disk blocks are looked at through several types
HARDEN += -fno-delete-null-pointer-checks
HARDEN_LD := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
ifeq ($(filter -O0,$(CFLAGS)),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(if $(findstring clang,$(CC)),2,3)
endif
ifeq ($(filter x86_64 i%86,$(shell uname -m)),)
HARDEN := $(filter-out -fcf-protection=full,$(HARDEN))
endif

INSTR :=
ifneq ($(findstring asan,$(D)),)
INSTR += -fsanitize=address -fno-omit-frame-pointer -DF4_SANITIZED=1
endif
ifneq ($(findstring ubsan,$(D)),)
INSTR += -fsanitize=undefined -fno-sanitize-recover=undefined -DF4_SANITIZED=1
endif
ifneq ($(findstring tsan,$(D)),)
INSTR += -fsanitize=thread -DF4_SANITIZED=1
endif
ifneq ($(findstring gcov,$(D)),)
INSTR += --coverage
endif
ifneq ($(INSTR),)
HARDEN := $(filter-out -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE%,$(HARDEN))
INSTR += -U_FORTIFY_SOURCE
endif

PKGS := fuse3 liburing ext2fs e2p com_err libsystemd libseccomp libcap-ng mount
# Looked up lazily: `make deps` and `make help` must work before the packages are there.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS)))$(PKG_CFLAGS)
FUSE_LIBS = $(eval FUSE_LIBS := $(shell $(PKG_CONFIG) --libs fuse3 liburing))$(FUSE_LIBS)
CORE_LIBS := -lext2fs -lcom_err
SEAL_LIBS := -lseccomp -lcap-ng
HELPER_LIBS := -lmount

CPPFLAGS_ALL = -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 \
	-DF4_VERSION='"$(VERSION)"' -DF4_LIBEXECDIR='"$(libexecdir)"' $(CPPFLAGS)
ALL_CFLAGS = -std=gnu17 -pthread $(WARN) $(WERROR) $(HARDEN) $(INSTR) $(CFLAGS)
ALL_LDFLAGS = -pthread $(HARDEN_LD) $(INSTR) $(LDFLAGS)

# --- what is built from what ----------------------------------------------------------------
proto_src  := $(wildcard protocol/base/*.c protocol/*.c)
core_src   := $(wildcard server/ext4/*.c)
seccomp_src := $(wildcard seccomp/*.c)
service_src := $(wildcard server/service/*.c)
fuse_src   := $(wildcard server/fuse/*.c)
helper_main := $(wildcard helper/mount.c helper/umount.c helper/mountd.c helper/populate.c)
helper_src := $(filter-out $(helper_main),$(wildcard helper/*.c))
unit_src   := $(wildcard tests/unit/test_*.c)
unit_lib   := $(filter-out $(unit_src),$(wildcard tests/unit/*.c tests/lib/*.c))
crash_src  := $(wildcard tests/crash/*.c)
tool_src   := $(wildcard tests/tools/*.c tests/platform/*.c \
	tests/bench/*.c tests/fuzz/*.c)

obj = $(patsubst %.c,$(O)/%.o,$(1))

PROGS := $(O)/fuse4fs-server \
	$(if $(wildcard helper/mount.c),$(O)/mount.fuse4fs) \
	$(if $(wildcard helper/umount.c),$(O)/umount.fuse4fs) \
	$(if $(wildcard helper/mountd.c),$(O)/fuse4fs-mountd) \
	$(if $(wildcard helper/populate.c),$(O)/fuse4fs-populate)
UNIT_PROGS := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(unit_src))
TOOL_PROGS := $(patsubst %.c,$(O)/%,$(tool_src))

all: $(PROGS) ## build the programs

$(O)/libproto.a: $(call obj,$(proto_src))
$(O)/libcore.a: $(call obj,$(core_src))
$(O)/libseccomp-policy.a: $(call obj,$(seccomp_src))
$(O)/libservice.a: $(call obj,$(service_src))
$(O)/libfuseops.a: $(call obj,$(fuse_src))
$(O)/libhelper.a: $(call obj,$(helper_src))
$(O)/libtest.a: $(call obj,$(unit_lib))

$(O)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Objects are rebuilt when the flags change, not only when the sources do.
flags_now = $(CC) $(CPPFLAGS_ALL) $(ALL_CFLAGS)
$(O)/.flags: FORCE
	$(Q)mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(flags_now))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(flags_now))' > $@
FORCE:

$(O)/protocol/%.o $(O)/helper/%.o: WARN += $(WARN_BOUNDARY)
$(O)/%.o: %.c $(O)/.flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(PKG_CFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

link = $(call say,LD,$@) ; mkdir -p $(@D) && \
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(1)

$(O)/fuse4fs-server: $(O)/server/main.o $(O)/libfuseops.a $(O)/libservice.a $(O)/libcore.a \
		$(O)/libseccomp-policy.a $(O)/libproto.a
	$(Q)$(subst @printf,printf,$(call link,$(FUSE_LIBS) $(CORE_LIBS) $(SEAL_LIBS) -lsystemd))
$(O)/mount.fuse4fs: $(O)/helper/mount.o $(O)/libhelper.a $(O)/libproto.a
	$(Q)$(subst @printf,printf,$(call link,$(HELPER_LIBS)))
$(O)/umount.fuse4fs: $(O)/helper/umount.o $(O)/libhelper.a $(O)/libproto.a
	$(Q)$(subst @printf,printf,$(call link,$(HELPER_LIBS)))
$(O)/fuse4fs-mountd: $(O)/helper/mountd.o $(O)/libhelper.a $(O)/libseccomp-policy.a $(O)/libproto.a
	$(Q)$(subst @printf,printf,$(call link,$(SEAL_LIBS) $(HELPER_LIBS) -lsystemd))

$(O)/fuse4fs-populate: $(O)/helper/populate.o $(O)/libproto.a
	$(Q)$(subst @printf,printf,$(call link,))

test_libs = $(O)/libtest.a $(O)/libhelper.a $(O)/libfuseops.a $(O)/libservice.a $(O)/libcore.a \
	$(O)/libseccomp-policy.a $(O)/libproto.a
$(UNIT_PROGS) $(TOOL_PROGS): $(O)/%: $(O)/%.o $(test_libs)
	$(Q)$(subst @printf,printf,$(call link,$(FUSE_LIBS) $(CORE_LIBS) $(SEAL_LIBS) $(HELPER_LIBS) -lsystemd))

-include $(shell find $(O) -name '*.d' 2>/dev/null)

# --- targets --------------------------------------------------------------------------------
$(O)/tests/crash/crashlab: $(call obj,$(crash_src)) $(test_libs)
	$(Q)$(subst @printf,printf,$(call link,$(FUSE_LIBS) $(CORE_LIBS) $(SEAL_LIBS) $(HELPER_LIBS) -lsystemd))

tests: $(UNIT_PROGS) $(TOOL_PROGS) $(O)/tests/crash/crashlab ## build the unit tests and the test tools

deps: ## install what the build and the tests need, where it is missing
	$(Q)tests/lib/deps.sh

run: deps ## build and mount: IMG=image DIR=directory, or a demonstration image
	$(Q)$(MAKE) $(parallel) --no-print-directory O='$(O)' all
	$(Q)tests/lib/demo.sh '$(O)' '$(IMG)' '$(DIR)'

check: deps ## every test: layers, flags, both compilers, sanitizers, unit tests, real mounts
	$(Q)$(MAKE) $(parallel) --no-print-directory O='$(O)' all tests check-layers check-man
	$(Q)$(MAKE) $(parallel) --no-print-directory CC=clang O='$(O)-clang' all tests
	$(Q)$(MAKE) $(parallel) --no-print-directory D=asan,ubsan O='$(O)-asan-ubsan' all tests
	$(Q)tests/run --build '$(O)' --sanitized '$(O)-asan-ubsan' $(TESTS)

check-unit: tests ## run the unit tests alone
	$(Q)tests/run --build $(O) --only unit $(TESTS)

bench: deps ## speed beside kernel ext4 and fuse2fs: BENCH="--quick --only create"
	$(Q)command -v fio >/dev/null || { echo 'make bench: needs fio' >&2; exit 1; }
	$(Q)$(MAKE) --no-print-directory O='$(O)' all tests
	$(Q)tests/bench/bench --build '$(O)' $(BENCH)

check-layers: ## include arrows, banned functions, sizes
	$(Q)tests/lib/check-layers.sh

check-man: ## lint the manual pages
	$(Q)for p in $(wildcard man/*.[1-9]); do \
		mandoc -T lint -W warning $$p || exit 1; done

format: ## lay out the sources as .clang-format says
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

DAEMONS := %/fuse4fs-server %/fuse4fs-mountd
COMMANDS := %/fuse4fs-populate
MOUNT_NAMES := mount.fuse.fuse4fs mount.fuseblk.fuse4fs
UMOUNT_NAMES := umount.fuse.fuse4fs umount.fuseblk.fuse4fs
# The root directory of servers under systemd: nothing but what is mounted over, so that it may lie on
# a read-only filesystem.
ROOT_DIRS := /dev /etc /lib /lib64 /proc /root /run /sys /tmp /usr/lib /usr/lib64 /var/tmp $(libexecdir)
ROOT_FILES := /etc/ld.so.cache /etc/localtime $(libexecdir)/fuse4fs-server
# Pages and units carry the paths of this installation.
subst_paths = sed -e 's|@mountdir@|$(mountdir)|g' -e 's|@libexecdir@|$(libexecdir)|g' -e 's|@docdir@|$(docdir)|g' -e 's|@version@|$(VERSION)|g'

install: all ## install below DESTDIR and prefix
	$(Q)install -d '$(DESTDIR)$(mountdir)' '$(DESTDIR)$(libexecdir)' '$(DESTDIR)$(bindir)'
	$(Q)install -m 755 $(filter-out $(DAEMONS) $(COMMANDS),$(PROGS)) '$(DESTDIR)$(mountdir)'
	$(Q)install -m 755 $(filter $(DAEMONS),$(PROGS)) '$(DESTDIR)$(libexecdir)'
	$(Q)install -m 755 $(filter $(COMMANDS),$(PROGS)) '$(DESTDIR)$(bindir)'
	$(Q)for n in $(MOUNT_NAMES); do ln -sf mount.fuse4fs '$(DESTDIR)$(mountdir)'/$$n; done
	$(Q)for n in $(UMOUNT_NAMES); do ln -sf umount.fuse4fs '$(DESTDIR)$(mountdir)'/$$n; done
	$(Q)for p in $(wildcard man/*.[1-9]); do d='$(DESTDIR)$(mandir)'/man$${p##*.}; \
		install -d $$d && $(subst_paths) $$p > $$d/$${p##*/} && chmod 644 $$d/$${p##*/}; done
	$(Q)install -d '$(DESTDIR)$(docdir)'
	$(Q)install -m 644 modprobe/fuse4fs.conf '$(DESTDIR)$(docdir)'/modprobe-fuse4fs.conf
	$(call say,HINT,FUSE over io_uring: cp $(docdir)/modprobe-fuse4fs.conf /etc/modprobe.d/)
	$(Q)for u in $(wildcard units/*.socket units/*.service units/*.target); do \
		install -d '$(DESTDIR)$(unitdir)' && \
		$(subst_paths) $$u > '$(DESTDIR)$(unitdir)'/$${u##*/} && \
		chmod 644 '$(DESTDIR)$(unitdir)'/$${u##*/}; done
	$(Q)for d in $(ROOT_DIRS); do install -d '$(DESTDIR)$(libexecdir)/root'$$d; done
	$(Q)for f in $(ROOT_FILES); do : > '$(DESTDIR)$(libexecdir)/root'$$f; done
	$(Q)install -d '$(DESTDIR)$(sysusersdir)' '$(DESTDIR)$(tmpfilesdir)'
	$(Q)install -m 644 units/fuse4fs.sysusers '$(DESTDIR)$(sysusersdir)'/fuse4fs.conf
	$(Q)install -m 644 units/fuse4fs.tmpfiles '$(DESTDIR)$(tmpfilesdir)'/fuse4fs.conf
	$(Q)install -m 755 helper/fsck.fuse4fs '$(DESTDIR)$(mountdir)'

uninstall: ## remove what install put there
	$(Q)rm -f $(foreach p,$(notdir $(filter-out $(DAEMONS) $(COMMANDS),$(PROGS))),'$(DESTDIR)$(mountdir)/$(p)') \
		$(foreach p,$(notdir $(filter $(COMMANDS),$(PROGS))),'$(DESTDIR)$(bindir)/$(p)') \
		$(foreach n,$(MOUNT_NAMES) $(UMOUNT_NAMES),'$(DESTDIR)$(mountdir)/$(n)')
	$(Q)rm -rf '$(DESTDIR)$(libexecdir)' '$(DESTDIR)$(docdir)'
	$(Q)rm -f '$(DESTDIR)$(sysusersdir)'/fuse4fs.conf '$(DESTDIR)$(tmpfilesdir)'/fuse4fs.conf \
		'$(DESTDIR)$(mountdir)'/fsck.fuse4fs
	$(Q)for p in $(wildcard man/*.[1-9]); do rm -f '$(DESTDIR)$(mandir)'/man$${p##*.}/$${p##*/}; done
	$(Q)for u in $(wildcard units/*.socket units/*.service units/*.target); do \
		rm -f '$(DESTDIR)$(unitdir)'/$${u##*/}; done

clean: ## remove what was built
	$(Q)rm -rf $(O) $(O)-clang $(O)-asan-ubsan

help: ## list the targets
	$(Q)awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n",$$1,$$2}' Makefile | sort
	$(Q)sed -n '3,15s/^# \{0,1\}//p' Makefile

.PHONY: all tests deps run bench check check-unit check-layers check-man format install uninstall clean help FORCE
