// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/key.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "lib/base/digest.h"
#include "lib/base/error.h"

namespace suffice {
namespace {

constexpr char kAlgorithm = 0x01;  // Ed25519 in C2SP signed-note

std::string AsText(const std::array<uint8_t, 32>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint32_t KeyHash(const std::string& name, const std::array<uint8_t, 32>& bytes) {
  const Sha256Digest hash = Sha256Of(name + '\n' + kAlgorithm + AsText(bytes));
  return uint32_t{hash[0]} << 24 | uint32_t{hash[1]} << 16 | uint32_t{hash[2]} << 8 | hash[3];
}

struct FreePkey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Pkey = std::unique_ptr<EVP_PKEY, FreePkey>;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using MdContext = std::unique_ptr<EVP_MD_CTX, FreeContext>;

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// Creates `path`, which must not exist, with `text` and the mode given, on disk when it returns.
void CreateFile(const std::string& path, const std::string& text, mode_t mode) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) {
    if (errno == EEXIST) throw UsageError("{}: exists; a key is never overwritten", path);
    throw ErrnoError(path, "cannot be created");
  }
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  if (::close(fd) != 0 || !written) {
    ::unlink(path.c_str());
    throw ErrnoError(path, "cannot be written");
  }
}

}  // namespace

PublicKey::PublicKey(std::string name, const std::array<uint8_t, 32>& bytes)
    : name_(std::move(name)), bytes_(bytes), id_(KeyHash(name_, bytes_)) {}

PublicKey PublicKey::Parse(std::string_view line, const std::string& source) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  const size_t first = line.find('+');
  const size_t second = first == line.npos ? line.npos : line.find('+', first + 1);
  std::string raw;
  if (second == line.npos || first == 0 || !FromBase64(line.substr(second + 1), &raw) ||
      raw.size() != 33 || raw[0] != kAlgorithm || line.substr(0, first).find(' ') != line.npos) {
    throw DataError("{}: not an Ed25519 verifier key (NAME+HASH+BASE64)", source);
  }
  std::array<uint8_t, 32> bytes;
  std::copy(raw.begin() + 1, raw.end(), bytes.begin());
  PublicKey key(std::string(line.substr(0, first)), bytes);
  if (key.Line() != line)
    throw DataError("{}: the verifier key's hash does not fit its key", source);
  return key;
}

std::string PublicKey::KeyId() const { return fmt::format("{}+{:08x}", name_, id_); }
std::string PublicKey::Line() const { return KeyId() + "+" + Base64(kAlgorithm + AsText(bytes_)); }

bool PublicKey::Verify(std::string_view message, const Signature& signature) const {
  const Pkey key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_.data(), bytes_.size()));
  const MdContext context(EVP_MD_CTX_new());
  return key && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), Bytes(message),
                          message.size()) == 1;
}

struct PrivateKey::Evp {
  Pkey key;
};

namespace {

std::array<uint8_t, 32> RawPublic(EVP_PKEY* key) {
  std::array<uint8_t, 32> bytes;
  size_t size = bytes.size();
  SUFFICE_CHECK(EVP_PKEY_get_raw_public_key(key, bytes.data(), &size) == 1 && size == bytes.size());
  return bytes;
}

}  // namespace

PrivateKey::PrivateKey(std::shared_ptr<Evp> evp, const std::string& name)
    : evp_(std::move(evp)), public_key_(name, RawPublic(evp_->key.get())) {}

PrivateKey PrivateKey::Generate(const std::string& name) {
  if (name.empty() || name.find_first_of("+ \t\r\n") != name.npos) {
    throw UsageError("key name '{}': wanted a name without spaces and plus signs", name);
  }
  auto evp = std::make_shared<Evp>();
  evp->key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!evp->key) throw RunError("ed25519 key: OpenSSL could not make one");
  return {std::move(evp), name};
}

PrivateKey PrivateKey::Load(const std::string& pem_path, const std::string& pub_path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(pem_path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) throw DataError("{}: the private key cannot be opened", pem_path);
  auto evp = std::make_shared<Evp>();
  evp->key.reset(PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr));
  if (!evp->key || EVP_PKEY_id(evp->key.get()) != EVP_PKEY_ED25519) {
    throw DataError("{}: not an Ed25519 private key in PEM", pem_path);
  }
  std::ifstream pub(pub_path);
  std::string line;
  if (!std::getline(pub, line)) throw DataError("{}: the public key cannot be read", pub_path);
  const PublicKey expected = PublicKey::Parse(line, pub_path);
  PrivateKey key(std::move(evp), expected.name());
  if (!(key.public_key() == expected)) {
    throw DataError("{}: not the public half of {}", pub_path, pem_path);
  }
  return key;
}

void PrivateKey::Save(const std::string& pem_path, const std::string& pub_path) const {
  const std::unique_ptr<BIO, int (*)(BIO*)> memory(BIO_new(BIO_s_mem()), &BIO_free);
  SUFFICE_CHECK(PEM_write_bio_PKCS8PrivateKey(memory.get(), evp_->key.get(), nullptr, nullptr, 0,
                                              nullptr, nullptr) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  CreateFile(pem_path, std::string(text, static_cast<size_t>(size)), 0600);
  CreateFile(pub_path, public_key_.Line() + "\n", 0644);
}

Signature PrivateKey::Sign(std::string_view message) const {
  Signature signature;
  size_t size = signature.size();
  const MdContext context(EVP_MD_CTX_new());
  SUFFICE_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, evp_->key.get()) == 1);
  SUFFICE_CHECK(
      EVP_DigestSign(context.get(), signature.data(), &size, Bytes(message), message.size()) == 1);
  return signature;
}

std::string Base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3), '\0');
  EVP_EncodeBlock(reinterpret_cast<uint8_t*>(text.data()), Bytes(bytes),
                  static_cast<int>(bytes.size()));
  return text;
}

bool FromBase64(std::string_view text, std::string* bytes) {
  if (text.size() % 4 != 0 || text.find_first_of(" \t\r\n") != text.npos) return false;
  std::string raw(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<uint8_t*>(raw.data()), Bytes(text),
                                   static_cast<int>(text.size()));
  if (size < 0) return false;
  size_t padding = 0;
  while (padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  if (padding > 2) return false;
  raw.resize(static_cast<size_t>(size) - padding);
  if (Base64(raw) != text) return false;  // one text per value
  *bytes = std::move(raw);
  return true;
}

}  // namespace suffice
