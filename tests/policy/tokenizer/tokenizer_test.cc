#include "policy/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace grouper {
namespace {

using Ids = std::vector<int32_t>;

TEST(WordsTokenizer, HasTheQuickstartsVocabularyInItsOrder) {
  const auto t = Tokenizer::Make("words");
  ASSERT_EQ(t->vocab_size(), 123);
  const std::vector<std::string> first = {
      "<pad>",  "<bos>", "<eos>", "<think>", "</think>", "<answer>", "</answer>", "make ",
      " from ", "fit ",  ", ",    "calc ",   " no",      " yes",     "+",         "-",
      "*",      "(",     ")",     "=",       ";",        "x",        "f",         "0"};
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(t->Bytes(static_cast<int32_t>(i)), first[i]) << i;
  }
  for (int n = 0; n < 100; ++n) EXPECT_EQ(t->Bytes(23 + n), std::to_string(n));
  EXPECT_EQ(t->pad(), 0);
  EXPECT_EQ(t->bos(), 1);
  EXPECT_EQ(t->eos(), 2);
  EXPECT_EQ(t->think(), 3);
  EXPECT_EQ(t->end_think(), 4);
  EXPECT_EQ(t->answer(), 5);
  EXPECT_EQ(t->end_answer(), 6);
}

TEST(WordsTokenizer, TakesTheLongestPiece) {
  const auto t = Tokenizer::Make("words");
  EXPECT_EQ(t->Encode("calc 14+5", false), (Ids{11, 23 + 14, 14, 23 + 5}));
  EXPECT_EQ(t->Encode("fit f(2)=17, f(3)=22", false),
            (Ids{9, 22, 17, 25, 18, 19, 40, 10, 22, 17, 26, 18, 19, 45}));
  // Two digits are one token, from the left; 100 is 10 and 0, 07 is 0 and 7.
  EXPECT_EQ(t->Encode("100", false), (Ids{23 + 10, 23}));
  EXPECT_EQ(t->Encode("07", false), (Ids{23, 23 + 7}));
  EXPECT_EQ(t->Encode("", false), Ids{});
}

TEST(WordsTokenizer, DecodesWhatItEncodes) {
  const auto t = Tokenizer::Make("words");
  for (const char* text : {"<think>14+15=29;29-9=20</think><answer>20</answer><eos>",
                           "make 17 from 3, 4, 5 yes no", "x*5+7", "99;0"}) {
    EXPECT_EQ(t->Decode(t->Encode(text, true)), text);
  }
}

TEST(WordsTokenizer, NamesByteAndTextItCannotEncode) {
  const auto t = Tokenizer::Make("words");
  try {
    t->Encode("calc 14 \x1b[31m+ 5 and more", false);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUser);
    EXPECT_NE(error.message().find("data.tokenizer"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("byte=7 text= \\x1b[31m+ 5 an..."), std::string::npos)
        << error.message();
  }
}

TEST(Tokenizer, ReadsSpecialsInTextOnlyWhenAsked) {
  const auto words = Tokenizer::Make("words");
  const auto bytes = Tokenizer::Make("bytes");
  EXPECT_EQ(words->Encode("<think>1</think>", true), (Ids{3, 24, 4}));
  EXPECT_THROW(words->Encode("<think>1", false), Error);

  EXPECT_EQ(bytes->Encode("<eos>", true), Ids{bytes->eos()});
  const Ids plain = bytes->Encode("say <think> and <eos>", false);
  EXPECT_EQ(plain.size(), 21u);
  for (int32_t id : plain) EXPECT_FALSE(bytes->IsSpecial(id)) << id;
  EXPECT_EQ(bytes->Decode(plain), "say <think> and <eos>");
}

TEST(BytesTokenizer, EncodesEveryByte) {
  const auto t = Tokenizer::Make("bytes");
  ASSERT_EQ(t->vocab_size(), 263);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  const Ids ids = t->Encode(all, false);
  ASSERT_EQ(ids.size(), 256u);
  for (int byte = 0; byte < 256; ++byte) EXPECT_EQ(ids[static_cast<size_t>(byte)], byte);
  EXPECT_EQ(t->Decode(ids), all);
  EXPECT_EQ(t->pad(), 256);
  EXPECT_EQ(t->end_answer(), 262);
  // A tag that breaks off is text.
  EXPECT_EQ(t->Encode("</answer", true).size(), 8u);
}

TEST(Tokenizer, KnowsItsSpecialsAndIdentity) {
  std::set<std::string> digests;
  for (const char* name : {"words", "bytes"}) {
    const auto t = Tokenizer::Make(name);
    EXPECT_EQ(t->name(), name);
    int specials = 0;
    for (int32_t id = 0; id < t->vocab_size(); ++id) specials += t->IsSpecial(id) ? 1 : 0;
    EXPECT_EQ(specials, 7);
    EXPECT_FALSE(t->IsSpecial(-1));
    EXPECT_EQ(t->Bytes(t->end_think()), "</think>");
    EXPECT_EQ(t->Sha256(), Tokenizer::Make(name)->Sha256());
    digests.insert(t->Sha256());
  }
  EXPECT_EQ(digests.size(), 2u);
}

TEST(Tokenizer, RefusesAnUnknownNameAndAnIdOutside) {
  EXPECT_THROW(Tokenizer::Make("gpt2"), Error);
  const auto t = Tokenizer::Make("words");
  EXPECT_THROW(t->Bytes(-1), Error);
  EXPECT_THROW(t->Bytes(123), Error);
  const Ids outside = {24, 123};
  EXPECT_THROW(t->Decode(outside), Error);
}

TEST(Tokenizer, NumbersHaveNoEndAndNoSpecials) {
  const auto tokenizer = Tokenizer::Numbers(300);
  EXPECT_EQ(tokenizer->vocab_size(), 300);
  EXPECT_EQ(tokenizer->Bytes(0), "0 ");
  EXPECT_EQ(tokenizer->Bytes(299), "299 ");
  for (int32_t id = 0; id < 300; ++id) {
    ASSERT_NE(id, tokenizer->eos());
    ASSERT_FALSE(tokenizer->IsSpecial(id));
  }
  EXPECT_THROW(tokenizer->Encode("7 ", false), Error);
}

}  // namespace
}  // namespace grouper
