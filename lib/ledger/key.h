// SPDX-License-Identifier: Apache-2.0
// Ed25519 keys: a private key in a PEM file of mode 0600, a public key as the one-line verifier key
// of C2SP signed-note: NAME+HASH+BASE64, HASH the first four bytes of SHA-256(NAME || '\n' || 0x01
// || key) in hexadecimal, BASE64 of 0x01 || key.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace suffice {

using Signature = std::array<uint8_t, 64>;

class PublicKey {
 public:
  // Throws kData, naming `source`, if the line is not a well-formed Ed25519 verifier key.
  static PublicKey Parse(std::string_view line, const std::string& source);
  PublicKey(std::string name, const std::array<uint8_t, 32>& bytes);

  const std::string& name() const { return name_; }
  uint32_t id() const { return id_; }
  std::string Line() const;   // NAME+HASH+BASE64
  std::string KeyId() const;  // NAME+HASH, as DSSE's keyid
  bool Verify(std::string_view message, const Signature& signature) const;
  bool operator==(const PublicKey&) const = default;

 private:
  std::string name_;
  std::array<uint8_t, 32> bytes_;
  uint32_t id_;
};

class PrivateKey {
 public:
  static PrivateKey Generate(const std::string& name);
  // The PEM file and, beside it, NAME.pub with the verifier key, from which the name is read.
  static PrivateKey Load(const std::string& pem_path, const std::string& pub_path);
  // Creates both; an existing file is refused (kUsage).
  void Save(const std::string& pem_path, const std::string& pub_path) const;

  Signature Sign(std::string_view message) const;
  const PublicKey& public_key() const { return public_key_; }

 private:
  struct Evp;
  PrivateKey(std::shared_ptr<Evp> evp, const std::string& name);
  std::shared_ptr<Evp> evp_;
  PublicKey public_key_;
};

std::string Base64(std::string_view bytes);
// Strict: standard alphabet, canonical padding. Returns false if it is not that.
bool FromBase64(std::string_view text, std::string* bytes);

}  // namespace suffice
