// Windows of token ids as work items. Specification models 5.1, methods 13.1.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/text.h"
#include "models/network.h"
#include "tokenizer/tokenizer.h"

namespace stamp {

// Texts turned into ids with one tokenizer, each once.
class TokenizedTexts {
 public:
  // `vocabulary`: ids the model knows. The tokenizer must outlive this.
  TokenizedTexts(const Tokenizer& tokenizer, std::int64_t vocabulary)
      : tokenizer_(tokenizer), vocabulary_(vocabulary) {}
  // `text`: known name or absolute path. `bos`: "start" = what the tokenizer prepends by default, once; "each_window" =
  // the first id of every window is replaced by BOS, so that windows cover the same text. DataError: no such text, text
  // too short, no BOS in the tokenizer, ids the model does not know.
  std::unique_ptr<Workload> windows(const std::string& text, const WindowRequest& request,
                                    const std::string& bos) const;

 private:
  struct Entry {
    Text text;  // without its content
    std::shared_ptr<const std::vector<std::int32_t>> ids;
  };
  const Entry& tokenized(const std::string& name) const;

  const Tokenizer& tokenizer_;
  std::int64_t vocabulary_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Entry> entries_;  // by name as asked
};

}  // namespace stamp
