// SPDX-License-Identifier: Apache-2.0
#include "lib/ledger/note.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/io/io_testing.h"

namespace suffice {
namespace {

// The example of Go's golang.org/x/mod/sumdb/note: another implementation's key and signature.
TEST(PublicKey, VerifiesAnothersSignature) {
  const PublicKey key = PublicKey::Parse(
      "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "test");
  EXPECT_EQ(key.name(), "PeterNeumann");
  EXPECT_EQ(key.id(), 0xc74f20a3u);
  const std::string body =
      "If you think cryptography is the answer to your problem,\n"
      "then you don't know what your problem is.\n";
  std::string raw;
  ASSERT_TRUE(
      FromBase64("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE"
                 "6RyyBwJnAM=",
                 &raw));
  Signature signature;
  std::copy(raw.begin() + 4, raw.end(), signature.begin());
  EXPECT_TRUE(key.Verify(body, signature));
  EXPECT_FALSE(key.Verify(body + "x", signature));
  signature[5] ^= 1;
  EXPECT_FALSE(key.Verify(body, signature));
}

TEST(PublicKey, RefusesWhatIsNoVerifierKey) {
  const std::string good = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  EXPECT_EQ(PublicKey::Parse(good + "\n", "test").Line(), good);
  for (const std::string bad :
       {"", "PeterNeumann", "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"}) {
    MessageOf(ExitCode::kData, [&] { PublicKey::Parse(bad, "test"); });
  }
}

TEST(Base64, HasOneTextPerValue) {
  std::string bytes;
  EXPECT_TRUE(FromBase64("", &bytes));
  EXPECT_TRUE(FromBase64("AA==", &bytes));
  EXPECT_EQ(bytes, std::string(1, '\0'));
  for (const char* bad :
       {"A", "AB==", "AA=A", "====", "A===", "AA==\n", " AA=", "AA-_", "AAAA===="}) {
    EXPECT_FALSE(FromBase64(bad, &bytes)) << bad;
  }
}

class NoteTest : public ::testing::Test {
 protected:
  PrivateKey key_ = PrivateKey::Generate("example.org/log");
  LogCheckpoint checkpoint_{"example.org/log", 600, Sha256Of("root")};
  std::string note_ = SignCheckpoint(checkpoint_, key_);
};

TEST_F(NoteTest, ComesBack) {
  const LogCheckpoint opened = OpenCheckpoint(note_, key_.public_key(), "checkpoint");
  EXPECT_EQ(opened.origin, checkpoint_.origin);
  EXPECT_EQ(opened.size, checkpoint_.size);
  EXPECT_EQ(opened.root, checkpoint_.root);
}

TEST_F(NoteTest, PassesOverTheSignaturesOfOthers) {
  const PrivateKey witness = PrivateKey::Generate("example.org/witness");
  const std::string both =
      note_ + SignCheckpoint(checkpoint_, witness).substr(note_.find("\n\n") + 2);
  EXPECT_EQ(OpenCheckpoint(both, key_.public_key(), "checkpoint").size, 600u);
  EXPECT_EQ(OpenCheckpoint(both, witness.public_key(), "checkpoint").size, 600u);
  const PrivateKey stranger = PrivateKey::Generate("example.org/log");  // the name alone is not it
  MessageOf(ExitCode::kCheckFailed,
            [&] { OpenCheckpoint(both, stranger.public_key(), "checkpoint"); });
}

// Whichever byte of the note is changed, or wherever it is cut, it is refused.
TEST_F(NoteTest, RefusesEveryChangedByteAndEveryCut) {
  for (size_t i = 0; i < note_.size(); ++i) {
    std::string changed = note_;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_THROW(OpenCheckpoint(changed, key_.public_key(), "checkpoint"), Error) << i;
    // All but its last newline is needed.
    if (i + 1 < note_.size()) {
      EXPECT_THROW(OpenCheckpoint(note_.substr(0, i), key_.public_key(), "checkpoint"), Error) << i;
    }
  }
}

TEST_F(NoteTest, RefusesASignedTextThatIsNoCheckpoint) {
  const auto sign = [&](const std::string& body) {
    std::string raw;
    for (int shift = 24; shift >= 0; shift -= 8)
      raw += static_cast<char>(key_.public_key().id() >> shift);
    const Signature signature = key_.Sign(body);
    raw.append(signature.begin(), signature.end());
    return body + "\n\xE2\x80\x94 example.org/log " + Base64(raw) + "\n";
  };
  const std::string root = Base64(std::string(32, 'r'));
  EXPECT_EQ(OpenCheckpoint(sign("o\n7\n" + root + "\n"), key_.public_key(), "c").size, 7u);
  for (const std::string& body :
       {"o\n07\n" + root + "\n", "o\n-7\n" + root + "\n", "o\n7x\n" + root + "\n",
        "\n7\n" + root + "\n", std::string("o\n7\n"), "o\n7\n" + root.substr(4) + "\n",
        "o\n99999999999999999999\n" + root + "\n", std::string("o\n")}) {
    MessageOf(ExitCode::kCheckFailed, [&] { OpenCheckpoint(sign(body), key_.public_key(), "c"); });
  }
}

class EnvelopeTest : public ::testing::Test {
 protected:
  PrivateKey key_ = PrivateKey::Generate("example.org/tool");
  std::string payload_ = R"({"version":1})";
  nlohmann::json envelope_ = nlohmann::json::parse(SignEnvelope(payload_, key_));

  std::string Open(const nlohmann::json& envelope) {
    return OpenEnvelope(envelope.dump(), key_.public_key(), "entry 0");
  }
};

TEST_F(EnvelopeTest, ComesBackAndSignsWhatDsseSays) {
  EXPECT_EQ(Open(envelope_), payload_);
  std::string raw;
  ASSERT_TRUE(FromBase64(envelope_["signatures"][0]["sig"].get<std::string>(), &raw));
  Signature signature;
  std::copy(raw.begin(), raw.end(), signature.begin());
  const std::string type = "application/vnd.suffice.record.v1+json";
  EXPECT_TRUE(key_.public_key().Verify(
      "DSSEv1 " + std::to_string(type.size()) + " " + type + " 13 " + payload_, signature));
}

TEST_F(EnvelopeTest, RefusesWhatIsNotIt) {
  const auto refused = [&](const std::string& text) {
    MessageOf(ExitCode::kCheckFailed, [&] { OpenEnvelope(text, key_.public_key(), "entry 0"); });
  };
  for (const char* text : {"", "{", "[]", "null", "7", R"({"payload":"e30="})"}) refused(text);
  nlohmann::json changed = envelope_;
  changed["payload"] = Base64(R"({"version":2})");
  refused(changed.dump());
  changed = envelope_;
  changed["payloadType"] = "text/plain";
  refused(changed.dump());
  changed = envelope_;
  changed["signatures"][0]["keyid"] = "example.org/other+00000000";
  refused(changed.dump());
  changed = envelope_;
  changed["signatures"] = nlohmann::json::array();
  refused(changed.dump());
  changed["signatures"] = "none";
  refused(changed.dump());
  changed = envelope_;
  changed["signatures"][0]["sig"] = Base64(std::string(64, '\0'));
  refused(changed.dump());
  const PrivateKey other = PrivateKey::Generate("example.org/tool");
  refused(SignEnvelope(payload_, other));
}

}  // namespace
}  // namespace suffice
