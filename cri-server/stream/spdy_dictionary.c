// SPDX-License-Identifier: Apache-2.0
//
// The dictionary that SPDY/3 header blocks are compressed with (draft 3-1, section 2.6.10.1):
// words, each after its length in 32 bits as in a header block, and a text.
#include <pthread.h>
#include <string.h>

#include "cri-server/stream/spdy_frame.h"

static const char words[] =
        "options head post put delete trace accept accept-charset accept-encoding accept-language "
        "accept-ranges age allow authorization cache-control connection content-base "
        "content-encoding content-language content-length content-location content-md5 "
        "content-range content-type date etag expect expires from host if-match "
        "if-modified-since if-none-match if-range if-unmodified-since last-modified location "
        "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after "
        "server te trailer transfer-encoding upgrade user-agent vary via warning "
        "www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
        "keep-alive origin";

static const char text[] =
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
        "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 "
        "Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, "
        "Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/"
        "xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,"
        "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

enum { DICTIONARY_SIZE = 1423 };

static uint8_t dictionary[DICTIONARY_SIZE];
static pthread_once_t once = PTHREAD_ONCE_INIT;

// One word of the list is two; it has an underscore here.
static void make(void)
{
	uint8_t *to = dictionary;
	const char *word = words;

	while (*word != '\0') {
		size_t length = strcspn(word, " ");
		const uint8_t size[4] = {0, 0, 0, (uint8_t)length};
		uint8_t *underscore;

		memcpy(to, size, sizeof(size));
		memcpy(to + sizeof(size), word, length);
		underscore = memchr(to + sizeof(size), '_', length);
		if (underscore != NULL)
			*underscore = ' ';
		to += sizeof(size) + length;
		word += length + (word[length] == ' ' ? 1 : 0);
	}
	memcpy(to, text, sizeof(text) - 1);
}

const uint8_t *zl_spdy_dictionary(size_t *ret_length)
{
	pthread_once(&once, make);
	*ret_length = DICTIONARY_SIZE;
	return dictionary;
}
