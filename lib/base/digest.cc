// SPDX-License-Identifier: Apache-2.0
#include "lib/base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include <cstdio>
#include <vector>

#include "lib/base/error.h"

namespace suffice {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  SUFFICE_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(const void* data, size_t bytes) {
  SUFFICE_CHECK(EVP_DigestUpdate(state_->context, data, bytes) == 1);
}

Sha256Digest Sha256::Finish() {
  Sha256Digest digest;
  unsigned length = 0;
  SUFFICE_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &length) == 1);
  return digest;
}

Sha256Digest Sha256Of(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

Sha256Digest Sha256OfFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) throw DataError("{}: cannot be opened for reading", path);
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  size_t got = 0;
  while ((got = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0) {
    hash.Update(buffer.data(), got);
  }
  if (std::ferror(file.get()) != 0) throw DataError("{}: cannot be read to its end", path);
  return hash.Finish();
}

std::string CryptoLibraryVersion() { return OpenSSL_version(OPENSSL_VERSION); }

std::string Hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

namespace {

std::string Canonical(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return Hex({canonical.digest, sizeof(canonical.digest)});
}

}  // namespace

std::string Xxh3Of(const void* data, size_t bytes) { return Canonical(XXH3_128bits(data, bytes)); }

struct Xxh3::State {
  XXH3_state_t* state = XXH3_createState();
  ~State() { XXH3_freeState(state); }
};

Xxh3::Xxh3() : state_(std::make_unique<State>()) {
  SUFFICE_CHECK(XXH3_128bits_reset(state_->state) == XXH_OK);
}
Xxh3::~Xxh3() = default;

void Xxh3::Update(const void* data, size_t bytes) {
  SUFFICE_CHECK(XXH3_128bits_update(state_->state, data, bytes) == XXH_OK);
}

std::string Xxh3::Finish() { return Canonical(XXH3_128bits_digest(state_->state)); }

}  // namespace suffice
