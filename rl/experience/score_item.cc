#include "rl/experience/score_item.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "base/digest.h"

namespace grouper {
namespace {

void Add(const google::protobuf::Message& message, std::string* bytes) {
  google::protobuf::io::StringOutputStream stream(bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  coded.WriteLittleEndian64(message.ByteSizeLong());
  message.SerializeToCodedStream(&coded);
}

}  // namespace

reward::v1::ScoreItem ScoreItemOf(const Prompt& prompt, const Completion& completion,
                                  const std::string& run_id) {
  reward::v1::ScoreItem item;
  item.set_item_id(std::to_string(completion.rollout_id()));
  item.set_group_id(std::to_string(prompt.ordinal()));
  item.set_sample_index(completion.index());
  item.set_run_id(run_id);
  item.set_completion(completion.text());
  item.set_completion_tokens(static_cast<uint32_t>(completion.ids_size()));
  item.set_truncated(completion.finish_reason() == Completion::LENGTH);
  if (prompt.has_math()) *item.mutable_math() = prompt.math();
  if (prompt.has_code()) *item.mutable_code() = prompt.code();
  item.set_rubric(prompt.rubric());
  item.set_prefill(prompt.prefill());
  return item;
}

std::string ScoreItemDigest(const Rubric& rubric, reward::v1::ScoreItem item) {
  item.clear_run_id();
  std::string bytes;
  Add(rubric, &bytes);
  Add(item, &bytes);
  Sha256 sha;
  sha.Update(bytes);
  const std::array<uint8_t, 32> digest = sha.Finish();
  return std::string(digest.begin(), digest.end());
}

}  // namespace grouper
