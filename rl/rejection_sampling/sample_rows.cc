#include "rl/rejection_sampling/sample_rows.h"

#include "base/error.h"
#include "base/io/json.h"
#include "base/kill_point.h"
#include "kernels/numerics.h"
#include "proto/textproto.h"

namespace grouper {

RowWriter::RowWriter(const std::string& path, const DataConfig& config)
    : path_(path), data_(config), tokenizer_(Tokenizer::Make(config.tokenizer())) {
  MakeFolders(FolderOf(path));
  file_ = std::make_unique<AppendFile>(path + ".tmp", 0);
}

void RowWriter::Add(const DataRow& row, const Group& group, int member) {
  const Completion& completion = group.completions(member);
  std::vector<int32_t> ids(completion.ids().begin(), completion.ids().end());
  // Supervised training ends every answer with <eos>; another stop token is part of the answer.
  if (!ids.empty() && ids.back() == tokenizer_->eos()) ids.pop_back();
  JsonWriter w;
  w.BeginObject().Key(data_.question_field()).Value(row.question);
  w.Key(data_.answer_field()).Value(tokenizer_->Decode(ids));
  w.Key(data_.answer_field() + "_ids").BeginArray();
  for (const int32_t id : ids) w.Value(id);
  w.EndArray().Key("golds").BeginArray();
  for (const std::string& gold : row.golds) w.Value(gold);
  w.EndArray();
  if (row.names_rubric) w.Key(data_.rubric_field()).Value(row.rubric);
  w.Key("source").Value(group.prompt().task_id());
  w.Key("rollout_id").Value(completion.rollout_id());
  w.Key("reward").Value(group.scores(member).reward()).EndObject();
  const std::string line = w.text() + "\n";
  hash_.Update(line);
  file_->Append(line);
}

std::string RowWriter::Publish() {
  file_->Sync();
  file_.reset();
  KILL_POINT("sample.rows_written");
  RenameDurably(path_ + ".tmp", path_);
  return hash_.FinishHex();
}

std::string ManifestJson(const SampleLineage& lineage) {
  const Config& config = lineage.config;
  const std::string resolved = ToTextproto(config);
  JsonWriter w;
  w.BeginObject().Key("format").Value("grouper sampled rows 1");
  w.Key("output").Value(lineage.output).Key("output_sha256").Value(lineage.output_sha256);
  w.Key("rows").Value(lineage.counts.rows);
  w.Key("questions").Value(lineage.counts.questions);
  w.Key("samples").Value(lineage.counts.samples);
  w.Key("dropped").BeginObject();
  for (const auto& [reason, count] : lineage.counts.dropped) w.Key(reason).Value(count);
  w.EndObject();
  w.Key("data").BeginObject().Key("path").Value(lineage.input);
  w.Key("sha256").Value(lineage.input_sha256);
  w.Key("skipped").Value(lineage.skipped).EndObject();
  w.Key("checkpoint").BeginObject().Key("folder").Value(config.init_from());
  w.Key("weights_sha256").Value(lineage.checkpoint.weights_sha256());
  w.Key("step").Value(lineage.checkpoint.step());
  w.Key("policy_version").Value(lineage.checkpoint.policy_version());
  w.Key("stage").Value(lineage.checkpoint.stage()).EndObject();
  w.Key("seed").Value(config.seed());
  w.Key("samples_per_question").Value(config.sample().samples());
  w.Key("sampling").BeginObject().Key("temperature").Value(config.sampling().temperature());
  w.Key("top_k").Value(config.sampling().top_k()).Key("top_p").Value(config.sampling().top_p());
  w.Key("min_p").Value(config.sampling().min_p());
  w.Key("max_new_tokens").Value(config.sampling().max_new_tokens()).EndObject();
  w.Key("grader_version").Value(lineage.graders);
  w.Key("tokenizer").Value(config.data().tokenizer());
  w.Key("numeric_profile").Value(numerics::kCpuProfile);
  w.Key("traces").Value(lineage.folder);
  w.Key("config_sha256").Value(Sha256Hex(resolved)).Key("config").Value(resolved).EndObject();
  return w.text();
}

}  // namespace grouper
