// SPDX-License-Identifier: Apache-2.0
//
// JSON made from a fuzzer's bytes. A parser of text without coverage of its own (jansson is not
// instrumented) keeps nearly every mutation out; here the bytes are a recipe instead, so that each
// of them makes some document of the keys and strings that the code under test looks at.
#ifndef ZL_UNIT_FUZZ_CNI_JSON_H
#define ZL_UNIT_FUZZ_CNI_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct recipe {
	const uint8_t *bytes;
	size_t left;
	const char *const *words; // keys and strings
	size_t word_count;
};

static inline uint8_t recipe_byte(struct recipe *recipe)
{
	if (recipe->left == 0)
		return 0;
	recipe->left--;
	return *recipe->bytes++;
}

static inline const char *recipe_word(struct recipe *recipe)
{
	return recipe->words[recipe_byte(recipe) % recipe->word_count];
}

// A word of the list, or up to 31 bytes of the recipe as they are.
static inline json_t *recipe_string(struct recipe *recipe)
{
	uint8_t choice = recipe_byte(recipe);
	size_t length = choice % 32;
	json_t *text;

	if (choice < 192)
		return json_string(recipe_word(recipe));
	if (length > recipe->left)
		length = recipe->left;
	text = json_stringn((const char *)recipe->bytes, length); // NULL if it is not UTF-8
	recipe->bytes += length;
	recipe->left -= length;
	return text != NULL ? text : json_null();
}

static inline json_t *recipe_value(struct recipe *recipe, int depth)
{
	uint8_t choice = recipe_byte(recipe);
	unsigned count = choice / 8;
	json_t *made;

	switch (depth > 5 ? choice % 4 : choice % 8) {
	case 0:
		return json_integer((int8_t)recipe_byte(recipe));
	case 1:
		return json_boolean(count % 2);
	case 2:
	case 3:
		return recipe_string(recipe);
	case 4:
	case 5:
		made = json_array();
		for (unsigned i = 0; i < count && recipe->left > 0; i++)
			(void)json_array_append_new(made, recipe_value(recipe, depth + 1));
		return made;
	default:
		made = json_object();
		for (unsigned i = 0; i < count && recipe->left > 0; i++) {
			const char *key = recipe_word(recipe);

			(void)json_object_set_new(made, key, recipe_value(recipe, depth + 1));
		}
		return made;
	}
}

#endif
