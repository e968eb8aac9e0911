// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/quantity.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"

enum { DIGITS_MAX = 18, EXPONENT_MAX = 18 };

// The number as digits and how many of them are behind the point.
struct decimal {
	int64_t digits;
	unsigned fraction;
};

// Returns where the number ends; NULL if there is none or it has too many digits.
static const char *read_decimal(const char *text, struct decimal *ret)
{
	unsigned count = 0;
	bool point = false;

	*ret = (struct decimal){0};
	for (; isdigit((unsigned char)*text) || (*text == '.' && !point); text++) {
		if (*text == '.') {
			point = true;
			continue;
		}
		if (++count > DIGITS_MAX)
			return NULL;
		ret->digits = ret->digits * 10 + (*text - '0');
		ret->fraction += point ? 1 : 0;
	}
	return count > 0 ? text : NULL;
}

static __int128 power(unsigned base, unsigned exponent)
{
	__int128 result = 1;

	while (exponent-- > 0)
		result *= base;
	return result;
}

// What to multiply with: base to the power of exponent, which may be negative.
struct scale {
	unsigned base;
	int exponent;
};

static bool read_exponent(const char *text, struct scale *ret)
{
	bool negative = *text == '-';
	int value = 0;

	if (*text == '-' || *text == '+')
		text++;
	if (*text == '\0')
		return false;
	for (; isdigit((unsigned char)*text); text++) {
		value = value * 10 + (*text - '0');
		if (value > EXPONENT_MAX)
			return false;
	}
	*ret = (struct scale){.base = 10, .exponent = negative ? -value : value};
	return *text == '\0';
}

static bool read_suffix(const char *text, struct scale *ret)
{
	static const struct {
		const char *text;
		struct scale scale;
	} suffixes[] = {
	        {"", {10, 0}},
	        {"n", {10, -9}},
	        {"u", {10, -6}},
	        {"m", {10, -3}},
	        {"k", {10, 3}},
	        {"M", {10, 6}},
	        {"G", {10, 9}},
	        {"T", {10, 12}},
	        {"P", {10, 15}},
	        {"E", {10, 18}},
	        {"Ki", {2, 10}},
	        {"Mi", {2, 20}},
	        {"Gi", {2, 30}},
	        {"Ti", {2, 40}},
	        {"Pi", {2, 50}},
	        {"Ei", {2, 60}},
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(suffixes); i++) {
		if (strcmp(text, suffixes[i].text) == 0) {
			*ret = suffixes[i].scale;
			return true;
		}
	}
	return (*text == 'e' || *text == 'E') && read_exponent(text + 1, ret);
}

bool zl_quantity_parse(const char *text, int64_t *ret)
{
	struct decimal number;
	struct scale scale;
	__int128 value;
	__int128 divisor;

	if (*text == '+')
		text++;
	text = read_decimal(text, &number);
	if (text == NULL || !read_suffix(text, &scale))
		return false;
	// At most 10^18 * 2^60, and 10^18 * 10^18: both fit.
	value = number.digits;
	divisor = power(10, number.fraction);
	if (scale.exponent >= 0)
		value *= power(scale.base, (unsigned)scale.exponent);
	else
		divisor *= power(scale.base, (unsigned)-scale.exponent);
	value = (value + divisor - 1) / divisor;
	if (value > INT64_MAX)
		return false;
	*ret = (int64_t)value;
	return true;
}
