#include "gpu/nvml_links.h"

#include <dlfcn.h>

#include <algorithm>

namespace gpu_gate {
namespace {

constexpr int kScoreOfLink = 100;

/// The entry points, each null where the driver has none.
struct LinkApi {
  explicit LinkApi(void* library)
      : common_ancestor(
            find<nvml::CommonAncestorFn>(library, "nvmlDeviceGetTopologyCommonAncestor")),
        fields(find<nvml::FieldsFn>(library, "nvmlDeviceGetFieldValues")),
        state(find<nvml::LinkStateFn>(library, "nvmlDeviceGetNvLinkState")),
        remote(find<nvml::LinkRemotePciFn>(library, "nvmlDeviceGetNvLinkRemotePciInfo_v2")) {}

  template <class Function>
  static Function* find(void* library, const char* name) {
    return reinterpret_cast<Function*>(::dlsym(library, name));
  }

  nvml::CommonAncestorFn* common_ancestor;
  nvml::FieldsFn* fields;
  nvml::LinkStateFn* state;
  nvml::LinkRemotePciFn* remote;
};

/// What one card's NVLinks lead to.
struct NvLinks {
  unsigned to_switch = 0;
  std::vector<std::uint64_t> far_ends;  // addresses, one for each link
};

unsigned links_to_switch(const LinkApi& api, nvml::DeviceHandle card) {
  nvml::FieldValue field{};
  field.field = nvml::kFieldSwitchLinks;
  const bool told = api.fields != nullptr && api.fields(card, 1, &field) == nvml::kSuccess &&
                    field.status == nvml::kSuccess;
  return told ? std::min(field.value.u32, nvml::kMaxLinks) : 0;
}

NvLinks nvlinks_of(const LinkApi& api, nvml::DeviceHandle card) {
  NvLinks links;
  links.to_switch = links_to_switch(api, card);
  // A card on an NVSwitch has no other links.
  if (links.to_switch > 0 || api.state == nullptr || api.remote == nullptr) return links;
  for (unsigned link = 0; link < nvml::kMaxLinks; ++link) {
    unsigned state = 0;
    const nvml::Return code = api.state(card, link, &state);
    if (code == nvml::kNotSupported || code == nvml::kInvalidArgument) break;  // it has no more
    nvml::PciInfo pci{};
    if (code == nvml::kSuccess && state == nvml::kLinkUp &&
        api.remote(card, link, &pci) == nvml::kSuccess) {
      links.far_ends.push_back(nvml::pci_number(pci));
    }
  }
  return links;
}

/// How many of the links lead to that card.
int links_to(const LinkedCard& card, const NvLinks& links) {
  if (!card.pci) return 0;
  return static_cast<int>(std::count(links.far_ends.begin(), links.far_ends.end(), *card.pci));
}

/// By nvmlGpuTopologyLevel_t: 0 one board, 10 one PCI express switch (PIX), 20 several (PXB), 30
/// one host bridge (PHB), 40 one socket (NODE), 50 through both (SYS).
int pci_score(const LinkApi& api, nvml::DeviceHandle a, nvml::DeviceHandle b) {
  unsigned level = 0;
  constexpr unsigned kFarthest = 50;
  const bool told = api.common_ancestor != nullptr &&
                    api.common_ancestor(a, b, &level) == nvml::kSuccess && level <= kFarthest;
  return told ? static_cast<int>(kFarthest + 10 - level) : 0;
}

}  // namespace

Links read_nvml_links(void* library, const std::vector<LinkedCard>& cards) {
  const LinkApi api(library);
  std::vector<NvLinks> of(cards.size());
  unsigned switched = 0;  // links of two cards on an NVSwitch: those that the best of them has
  for (std::size_t i = 0; i < cards.size(); ++i) {
    if (cards[i].handle != nullptr) of[i] = nvlinks_of(api, cards[i].handle);
    switched = std::max(switched, of[i].to_switch);
  }
  Links links(cards.size());
  for (std::size_t a = 0; a < cards.size(); ++a) {
    for (std::size_t b = a + 1; b < cards.size(); ++b) {
      if (cards[a].handle == nullptr || cards[b].handle == nullptr) continue;
      const bool by_switch = of[a].to_switch > 0 && of[b].to_switch > 0;
      const int nvlinks = by_switch
                              ? static_cast<int>(switched)
                              : std::max(links_to(cards[b], of[a]), links_to(cards[a], of[b]));
      links.set_score(a, b,
                      kScoreOfLink * nvlinks + pci_score(api, cards[a].handle, cards[b].handle));
    }
  }
  return links;
}

}  // namespace gpu_gate
