// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/note.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"

namespace suffice {
namespace {

constexpr std::string_view kDash = "\xE2\x80\x94 ";  // an em dash and a space

std::string SignatureText(const PublicKey& key, const Signature& signature) {
  std::string raw;
  for (int shift = 24; shift >= 0; shift -= 8) raw += static_cast<char>(key.id() >> shift);
  raw.append(signature.begin(), signature.end());
  return Base64(raw);
}

// The signature in BASE64(ID || SIGNATURE) if the id is that of `key`.
bool SignatureOf(const PublicKey& key, std::string_view text, Signature* signature) {
  std::string raw;
  if (!FromBase64(text, &raw) || raw.size() != 4 + signature->size()) return false;
  std::copy(raw.begin() + 4, raw.end(), signature->begin());
  return SignatureText(key, *signature) == text;
}

std::string PreAuthentication(std::string_view payload) {
  constexpr std::string_view type = kRecordPayloadType;
  return fmt::format("DSSEv1 {} {} {} ", type.size(), type, payload.size()) + std::string(payload);
}

std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return line;
}

}  // namespace

std::string SignCheckpoint(const LogCheckpoint& checkpoint, const PrivateKey& log_key) {
  const std::string_view root(reinterpret_cast<const char*>(checkpoint.root.data()),
                              checkpoint.root.size());
  const std::string body =
      fmt::format("{}\n{}\n{}\n", checkpoint.origin, checkpoint.size, Base64(root));
  const PublicKey& key = log_key.public_key();
  return fmt::format("{}\n{}{} {}\n", body, kDash, key.name(),
                     SignatureText(key, log_key.Sign(body)));
}

LogCheckpoint OpenCheckpoint(std::string_view note, const PublicKey& key,
                             const std::string& source) {
  const size_t split = note.find("\n\n");
  if (split == note.npos) throw CheckFailedError("{}: not a signed note", source);
  const std::string_view body = note.substr(0, split + 1);
  std::string_view signatures = note.substr(split + 2);
  bool verified = false;
  while (!signatures.empty()) {
    const std::string_view line = TakeLine(&signatures);
    if (!line.starts_with(kDash)) throw CheckFailedError("{}: not a signed note", source);
    const std::string_view rest = line.substr(kDash.size());
    const size_t space = rest.find(' ');
    Signature signature;
    if (space == rest.npos || rest.substr(0, space) != key.name() ||
        !SignatureOf(key, rest.substr(space + 1), &signature)) {
      continue;  // another key's
    }
    if (!key.Verify(body, signature)) {
      throw CheckFailedError("{}: the signature of {} is wrong", source, key.KeyId());
    }
    verified = true;
  }
  if (!verified) throw CheckFailedError("{}: not signed by {}", source, key.KeyId());

  std::string_view rest = body;
  LogCheckpoint checkpoint;
  checkpoint.origin = TakeLine(&rest);
  const std::string_view size = TakeLine(&rest);
  const auto [end, status] =
      std::from_chars(size.data(), size.data() + size.size(), checkpoint.size);
  std::string root;
  if (checkpoint.origin.empty() || status != std::errc() || end != size.data() + size.size() ||
      fmt::format("{}", checkpoint.size) != size || !FromBase64(TakeLine(&rest), &root) ||
      root.size() != checkpoint.root.size()) {
    throw CheckFailedError("{}: not a checkpoint (origin, size, root)", source);
  }
  std::copy(root.begin(), root.end(), checkpoint.root.begin());
  return checkpoint;
}

std::string SignEnvelope(std::string_view payload, const PrivateKey& tool_key) {
  const Signature signature = tool_key.Sign(PreAuthentication(payload));
  const std::string_view raw(reinterpret_cast<const char*>(signature.data()), signature.size());
  const nlohmann::ordered_json envelope = {
      {"payload", Base64(payload)},
      {"payloadType", kRecordPayloadType},
      {"signatures", {{{"keyid", tool_key.public_key().KeyId()}, {"sig", Base64(raw)}}}}};
  return envelope.dump();
}

std::string OpenEnvelope(std::string_view envelope, const PublicKey& key,
                         const std::string& source) {
  const auto json = nlohmann::json::parse(envelope, nullptr, /*allow_exceptions=*/false);
  const auto text = [](const nlohmann::json& object, const char* name) -> std::string {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
  };
  std::string payload;
  if (!json.is_object() || text(json, "payloadType") != kRecordPayloadType ||
      !FromBase64(text(json, "payload"), &payload) || !json.contains("signatures") ||
      !json["signatures"].is_array()) {
    throw CheckFailedError("{}: not a DSSE envelope of a record", source);
  }
  for (const auto& entry : json["signatures"]) {
    std::string raw;
    Signature signature;
    if (!entry.is_object() || text(entry, "keyid") != key.KeyId() ||
        !FromBase64(text(entry, "sig"), &raw) || raw.size() != signature.size()) {
      continue;
    }
    std::copy(raw.begin(), raw.end(), signature.begin());
    if (key.Verify(PreAuthentication(payload), signature)) return payload;
    throw CheckFailedError("{}: the signature of {} is wrong", source, key.KeyId());
  }
  throw CheckFailedError("{}: not signed by {}", source, key.KeyId());
}

}  // namespace suffice
