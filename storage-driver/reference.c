// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/reference.h"

#include <stdio.h>
#include <string.h>

static const char LOWER[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char ALNUM[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
static const char DIGITS[] = "0123456789";

enum { NAME_MAX_LENGTH = 255, TAG_MAX_LENGTH = 128, IMAGE_ID_DIGITS = 64 };

static int refuse(struct zl_error *err, const char *text, const char *why)
{
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "image reference '%.300s': %s; the form is [registry/]name[:tag][@sha256:…]", text,
	        why);
}

// One component of a host name, [a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?
static bool host_label_valid(const char *start, size_t length)
{
	if (length == 0 || start[0] == '-' || start[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (strchr(ALNUM, start[i]) == NULL && start[i] != '-')
			return false;
	}
	return true;
}

static bool host_valid(const char *host, size_t length)
{
	size_t start = 0;

	if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
		for (size_t i = 1; i < length - 1; i++) {
			if (strchr("0123456789abcdefABCDEF:", host[i]) == NULL)
				return false;
		}
		return true;
	}
	for (size_t i = 0; i <= length; i++) {
		if (i < length && host[i] != '.')
			continue;
		if (!host_label_valid(host + start, i - start))
			return false;
		start = i + 1;
	}
	return true;
}

static bool domain_valid(const char *domain)
{
	size_t length = strlen(domain);
	const char *colon = strrchr(domain, ':');
	const char *bracket = strchr(domain, ']');

	if (colon != NULL && (bracket == NULL || bracket < colon)) {
		size_t digits = strspn(colon + 1, DIGITS);

		if (digits == 0 || digits > 5 || colon[1 + digits] != '\0')
			return false;
		length = (size_t)(colon - domain);
	}
	return host_valid(domain, length);
}

// The separator between two runs of letters and digits: ".", "_", "__" or any number of "-".
static size_t separator_length(const char *at)
{
	if (*at == '.')
		return 1;
	if (*at == '_')
		return at[1] == '_' ? 2 : 1;
	return strspn(at, "-");
}

static bool path_valid(const char *path)
{
	for (;;) {
		size_t run = strspn(path, LOWER);

		if (run == 0)
			return false;
		path += run;
		if (*path == '\0')
			return true;
		if (*path == '/') {
			path++;
			continue;
		}
		run = separator_length(path);
		if (run == 0)
			return false;
		path += run;
	}
}

static bool tag_valid(const char *tag)
{
	size_t length = strlen(tag);

	if (length == 0 || length > TAG_MAX_LENGTH || *tag == '.' || *tag == '-')
		return false;
	for (; *tag != '\0'; tag++) {
		if (strchr(ALNUM, *tag) == NULL && strchr("_.-", *tag) == NULL)
			return false;
	}
	return true;
}

// Docker's rule for "is the first component a registry?": it has a dot or a colon, is "localhost",
// or has a capital letter (which a path cannot have).
static bool is_domain(const char *first)
{
	if (strpbrk(first, ".:") != NULL || strcmp(first, "localhost") == 0)
		return true;
	return strpbrk(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;
}

static int split_domain(
        const char *text, char *name, struct zl_reference *ret, struct zl_error *err)
{
	char *slash = strchr(name, '/');

	if (slash != NULL)
		*slash = '\0';
	if (slash != NULL && is_domain(name)) {
		if (!domain_valid(name))
			return refuse(err, text, "the registry's host name is malformed");
		(void)snprintf(ret->domain, sizeof(ret->domain), "%.255s", name);
		name = slash + 1;
	} else {
		if (slash != NULL)
			*slash = '/';
		(void)snprintf(ret->domain, sizeof(ret->domain), "docker.io");
	}
	if (strcmp(ret->domain, "index.docker.io") == 0)
		(void)snprintf(ret->domain, sizeof(ret->domain), "docker.io");
	if (strcmp(ret->domain, "docker.io") == 0 && strchr(name, '/') == NULL)
		(void)snprintf(ret->path, sizeof(ret->path), "library/%.247s", name);
	else
		(void)snprintf(ret->path, sizeof(ret->path), "%.255s", name);
	return 0;
}

static int check_name(const char *text, const struct zl_reference *ret, struct zl_error *err)
{
	if (strpbrk(ret->path, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL)
		return refuse(err, text, "the name must be lower case");
	if (!path_valid(ret->path))
		return refuse(err, text, "the name is malformed");
	if (strlen(ret->domain) + 1 + strlen(ret->path) > NAME_MAX_LENGTH)
		return refuse(err, text, "the name is longer than 255 characters");
	return 0;
}

// Takes "@digest" and ":tag" off the end of the name.
static int split_suffixes(
        const char *text, char *name, struct zl_reference *ret, struct zl_error *err)
{
	char *at = strchr(name, '@');
	char *slash;
	char *colon;

	if (at != NULL) {
		*at = '\0';
		if (!zl_digest_valid(at + 1))
			return refuse(err, text,
			        "the digest is not sha256:<64 hex digits> or sha512:<128>");
		(void)snprintf(ret->digest, sizeof(ret->digest), "%s", at + 1);
	}
	slash = strrchr(name, '/');
	colon = strrchr(slash != NULL ? slash : name, ':');
	if (colon != NULL) {
		*colon = '\0';
		if (!tag_valid(colon + 1))
			return refuse(err, text, "the tag is malformed");
		(void)snprintf(ret->tag, sizeof(ret->tag), "%s", colon + 1);
	} else if (at == NULL) {
		(void)snprintf(ret->tag, sizeof(ret->tag), "latest");
	}
	return 0;
}

int zl_reference_parse(const char *text, struct zl_reference *ret, struct zl_error *err)
{
	struct zl_reference reference = {.domain = ""};
	char name[ZL_REFERENCE_TEXT_SIZE];
	size_t length = strlen(text);

	if (length == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the image reference is empty");
	if (length >= sizeof(name))
		return refuse(err, text, "it is too long");
	memcpy(name, text, length + 1);
	if (split_suffixes(text, name, &reference, err) < 0)
		return -1;
	if (strlen(name) > NAME_MAX_LENGTH)
		return refuse(err, text, "the name is longer than 255 characters");
	if (strlen(name) == IMAGE_ID_DIGITS && strspn(name, "0123456789abcdef") == IMAGE_ID_DIGITS)
		return refuse(err, text, "64 hexadecimal digits are an image id, not a name");
	if (split_domain(text, name, &reference, err) < 0 || check_name(text, &reference, err) < 0)
		return -1;
	*ret = reference;
	return 0;
}

void zl_reference_format(
        const struct zl_reference *reference, char out[static ZL_REFERENCE_TEXT_SIZE])
{
	if (reference->digest[0] != '\0')
		(void)snprintf(out, ZL_REFERENCE_TEXT_SIZE, "%.255s/%.255s@%.143s",
		        reference->domain, reference->path, reference->digest);
	else
		(void)snprintf(out, ZL_REFERENCE_TEXT_SIZE, "%.255s/%.255s:%.128s",
		        reference->domain, reference->path, reference->tag);
}
