// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"

enum { FILE_MAX = 1024 * 1024, FIELDS = 4, NAME_MAX_LENGTH = 256 };

// One line of passwd or group, as far as it matters: name, password, id, and the fourth field.
struct entry {
	const char *field[FIELDS];
	size_t length[FIELDS];
	uint32_t id;
	uint32_t fourth; // passwd: the primary group
};

// Digits only, and no more than fits: ids are 32 bits, the largest of them is "no id".
static bool parse_id(const char *text, size_t length, uint32_t *ret)
{
	uint64_t value = 0;

	if (length == 0 || length > 10)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value >= UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool parse_line(const char *line, size_t length, struct entry *entry)
{
	const char *end = line + length;

	for (size_t i = 0; i < FIELDS; i++) {
		const char *colon = memchr(line, ':', (size_t)(end - line));

		if (colon == NULL && i < FIELDS - 1)
			return false;
		if (colon == NULL)
			colon = end;
		entry->field[i] = line;
		entry->length[i] = (size_t)(colon - line);
		line = colon < end ? colon + 1 : end;
	}
	if (!parse_id(entry->field[2], entry->length[2], &entry->id))
		return false;
	if (!parse_id(entry->field[3], entry->length[3], &entry->fourth))
		entry->fourth = 0;
	return true;
}

// Moves *text past a line and parses it. False at the end; lines that do not parse are skipped.
static bool next_entry(const char **text, struct entry *entry)
{
	while (**text != '\0') {
		const char *line = *text;
		size_t length = strcspn(line, "\n");

		*text = line + length + (line[length] == '\n' ? 1 : 0);
		if (parse_line(line, length, entry))
			return true;
	}
	return false;
}

static bool is(const char *text, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(text, name, length) == 0;
}

static bool find_name(const char *text, const char *name, struct entry *ret)
{
	while (next_entry(&text, ret)) {
		if (is(ret->field[0], ret->length[0], name))
			return true;
	}
	return false;
}

static bool find_id(const char *text, uint32_t id, struct entry *ret)
{
	while (next_entry(&text, ret)) {
		if (ret->id == id)
			return true;
	}
	return false;
}

static int add_group(struct zl_user *user, uint32_t gid, struct zl_error *err)
{
	for (size_t i = 0; i < user->group_count; i++) {
		if (user->groups[i] == gid)
			return 0;
	}
	if (user->group_count == ZL_USER_GROUPS_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the container's user is in more than %d groups", ZL_USER_GROUPS_MAX);
	user->groups[user->group_count++] = gid;
	return 0;
}

static bool lists(const char *members, size_t length, const char *name)
{
	while (length > 0) {
		const char *comma = memchr(members, ',', length);
		size_t one = comma != NULL ? (size_t)(comma - members) : length;

		if (is(members, one, name))
			return true;
		if (comma == NULL)
			return false;
		members += one + 1;
		length -= one + 1;
	}
	return false;
}

static int add_memberships(
        struct zl_user *user, const char *name, const char *group, struct zl_error *err)
{
	struct entry entry;

	while (next_entry(&group, &entry)) {
		if (lists(entry.field[3], entry.length[3], name) &&
		        add_group(user, entry.id, err) < 0)
			return -1;
	}
	return 0;
}

// The part before the colon. *ret_name is the user's name if passwd has one, else "".
static int resolve_user(const char *wanted, const char *passwd, struct zl_user *user,
        char ret_name[static NAME_MAX_LENGTH], struct zl_error *err)
{
	struct entry entry;
	bool found;

	ret_name[0] = '\0';
	if (wanted[0] == '\0')
		wanted = "0";
	found = find_name(passwd, wanted, &entry);
	if (!found) {
		if (!parse_id(wanted, strlen(wanted), &user->uid))
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "the image's /etc/passwd has no user \"%s\"", wanted);
		found = find_id(passwd, user->uid, &entry);
	}
	if (found) {
		user->uid = entry.id;
		user->gid = entry.fourth;
		if (entry.length[0] < NAME_MAX_LENGTH) {
			memcpy(ret_name, entry.field[0], entry.length[0]);
			ret_name[entry.length[0]] = '\0';
		}
	}
	return 0;
}

static int resolve_group(
        const char *wanted, const char *group, struct zl_user *user, struct zl_error *err)
{
	struct entry entry;

	if (find_name(group, wanted, &entry)) {
		user->gid = entry.id;
		return 0;
	}
	if (!parse_id(wanted, strlen(wanted), &user->gid))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the image's /etc/group has no group \"%s\"", wanted);
	return 0;
}

int zl_user_resolve(const struct zl_user_wanted *wanted, const char *passwd, const char *group,
        struct zl_user *ret, struct zl_error *err)
{
	char both[NAME_MAX_LENGTH];
	char name[NAME_MAX_LENGTH];
	struct zl_user user = {0};
	char *colon;

	if (strlen(wanted->name) >= sizeof(both))
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the user's name is too long");
	(void)snprintf(both, sizeof(both), "%s", wanted->name);
	colon = strchr(both, ':');
	if (colon != NULL)
		*colon = '\0';
	if (resolve_user(both, passwd, &user, name, err) < 0)
		return -1;
	if (colon != NULL && colon[1] != '\0' && resolve_group(colon + 1, group, &user, err) < 0)
		return -1;
	if (wanted->has_group)
		user.gid = wanted->group;
	if (add_group(&user, user.gid, err) < 0)
		return -1;
	if (wanted->merge && name[0] != '\0' && add_memberships(&user, name, group, err) < 0)
		return -1;
	for (size_t i = 0; i < wanted->supplemental_count; i++) {
		if (add_group(&user, wanted->supplemental[i], err) < 0)
			return -1;
	}
	*ret = user;
	return 0;
}

// A file below `root`, links resolved as inside it. Absent, or not a file: "".
static int read_inside(int root, const char *path, struct zl_buffer *out, struct zl_error *err)
{
	struct open_how how = {
	        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
	        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	zl_auto(fd) int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	if (fd < 0)
		return 0;
	if (zl_buffer_read_all(out, fd, err) < 0)
		return zl_error_wrap(err, "read the image's %s", path);
	return 0;
}

int zl_user_resolve_in(const char *root, const struct zl_user_wanted *wanted, struct zl_user *ret,
        struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer passwd = ZL_BUFFER_LIMIT(FILE_MAX);
	zl_auto(buffer) struct zl_buffer group = ZL_BUFFER_LIMIT(FILE_MAX);
	zl_auto(fd) int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return zl_error_errno(err, errno, "open the container's root %s", root);
	if (read_inside(fd, "etc/passwd", &passwd, err) < 0 ||
	        read_inside(fd, "etc/group", &group, err) < 0)
		return -1;
	return zl_user_resolve(
	        wanted, zl_buffer_string(&passwd), zl_buffer_string(&group), ret, err);
}
