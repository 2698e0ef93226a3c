/* Preloaded into Debian 12's OpenSMTPD 6.8.0p2, which without it fails every TLS handshake with
 * "missing private key" (https://github.com/OpenSMTPD/OpenSMTPD/issues/1171): it marks the key that
 * its other process holds with RSA_set_ex_data, but OpenSSL 3 hands out copies of a key, without
 * the mark. Here the mark is kept beside the keys. Right for servers with a single key only, such
 * as the tests' own.
 */
#include <openssl/ec.h>
#include <openssl/rsa.h>

static void* the_mark;

int RSA_set_ex_data(RSA* key, int index, void* mark) {
  (void)key, (void)index;
  the_mark = mark;
  return 1;
}

void* RSA_get_ex_data(const RSA* key, int index) {
  (void)key, (void)index;
  return the_mark;
}

int EC_KEY_set_ex_data(EC_KEY* key, int index, void* mark) {
  (void)key, (void)index;
  the_mark = mark;
  return 1;
}

void* EC_KEY_get_ex_data(const EC_KEY* key, int index) {
  (void)key, (void)index;
  return the_mark;
}
