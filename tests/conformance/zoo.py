"""Small models of the architectures people deploy, with weights that keep their outputs alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ashore import ModelSource
from conformance import zoo_sequences as sequences
from conformance import zoo_transformers as transformers
from conformance import zoo_vision as vision
from conformance.samples import cnn, lively, settled, vectors
from conformance.zoo_transformers import convolutional, picture, text


@dataclass(frozen=True)
class Specimen:
    """``int8``: the int8 precision that makes sense for this architecture."""

    name: str
    build: Callable[[], ModelSource]
    int8: str


_VISION = (
    Specimen("mobilenet_v2", cnn(vision.MobileNetV2), "int8"),
    Specimen("resnet", cnn(vision.ResNet), "int8"),
    Specimen("unet", cnn(vision.UNet), "int8"),
    Specimen("separable_se", cnn(vision.SeparableNet), "int8"),
    Specimen("detector_dict", cnn(lambda: vision.Detector(True)), "int8"),
    Specimen("detector_dataclass", cnn(lambda: vision.Detector(False)), "int8"),
    Specimen("detector_pyramid", cnn(vision.FeaturePyramid), "int8"),
    Specimen("dcgan_generator", lambda: vectors(settled(vision.Generator(), (1, 16)), 1, 16), "int8"),
    Specimen("super_resolution", cnn(vision.SuperResolution), "int8"),
    Specimen("group_instance_layer_norm", cnn(vision.NormedNet), "int8"),
    Specimen("densenet", cnn(vision.DenseNet), "int8"),
    Specimen("shufflenet", cnn(vision.ShuffleNet), "int8"),
    Specimen("deeplab", cnn(vision.DeepLab), "int8"),
    Specimen("mlp_mixer", cnn(vision.Mixer), "int8"),
)

_SEQUENCES = (
    Specimen("audio_1d", lambda: vectors(settled(lively(sequences.AudioNet()), (1, 1, 1024)), 1, 1, 1024), "int8"),
    Specimen("tcn", lambda: vectors(settled(sequences.TemporalConvolution(), (1, 8, 64)), 1, 8, 64), "int8"),
    Specimen("perceptron", lambda: vectors(sequences.Perceptron(), 1, 64), "int8"),
    Specimen("residual_mlp", lambda: vectors(settled(sequences.ResidualPerceptron(), (1, 20)), 1, 20), "int8"),
    Specimen("autoencoder", lambda: vectors(lively(sequences.Autoencoder()), 1, 64), "int8"),
    Specimen("two_by_two", sequences.two_by_two, "int8"),
    Specimen("dynamic_batch", sequences.dynamic_batch, "int8-dynamic"),
    Specimen("dynamic_sequence", sequences.dynamic_sequence, "int8-dynamic"),
    Specimen("lstm", lambda: vectors(sequences.Recurrent(nn.LSTM), 1, 12, 16), "int8-dynamic"),
    Specimen("gru", lambda: vectors(sequences.Recurrent(nn.GRU), 1, 12, 16), "int8-dynamic"),
)

_TRANSFORMERS = (
    Specimen("bert", text("BertModel"), "int8-dynamic"),
    Specimen("distilbert", transformers.distilbert, "int8-dynamic"),
    Specimen("roberta", text("RobertaModel"), "int8-dynamic"),
    Specimen("albert", text("AlbertModel", embedding_size=32), "int8-dynamic"),
    Specimen("electra", text("ElectraModel", embedding_size=32), "int8-dynamic"),
    Specimen("mobilebert", text("MobileBertModel", embedding_size=32, intra_bottleneck_size=32), "int8-dynamic"),
    Specimen("t5_encoder", transformers.t5_encoder, "int8-dynamic"),
    Specimen("clip_text", transformers.clip_text, "int8-dynamic"),
    Specimen("llama", text("LlamaForCausalLM", use_cache=False, num_key_value_heads=2), "int8-dynamic"),
    Specimen("gpt2", text("GPT2LMHeadModel", use_cache=False), "int8-dynamic"),
    Specimen("vit", transformers.vit, "int8-dynamic"),
    Specimen("deit", picture("DeiTForImageClassification", patch_size=8, num_labels=10), "int8-dynamic"),
    Specimen("clip_vision", picture("CLIPVisionModel", patch_size=8), "int8-dynamic"),
    Specimen(
        "swin",
        picture(
            "SwinForImageClassification",
            small=False,
            image_size=32,
            patch_size=2,
            embed_dim=16,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
            num_labels=10,
        ),
        "int8-dynamic",
    ),
    Specimen(
        "segformer",
        picture(
            "SegformerForSemanticSegmentation",
            small=False,
            hidden_sizes=[16, 32],
            depths=[1, 1],
            num_attention_heads=[1, 2],
            num_encoder_blocks=2,
            patch_sizes=[7, 3],
            strides=[4, 2],
            sr_ratios=[2, 1],
            mlp_ratios=[2, 2],
            decoder_hidden_size=32,
            num_labels=5,
        ),
        "int8-dynamic",
    ),
    Specimen("whisper_encoder", transformers.whisper_encoder, "int8-dynamic"),
    Specimen("wav2vec2", transformers.wav2vec2, "int8-dynamic"),
    Specimen(
        "regnet",
        convolutional(
            "RegNetForImageClassification",
            embedding_size=8,
            hidden_sizes=[16, 24],
            depths=[1, 1],
            groups_width=8,
            num_labels=10,
        ),
        "int8",
    ),
    Specimen(
        "convnext",
        convolutional(
            "ConvNextForImageClassification",
            hidden_sizes=[16, 32],
            depths=[2, 2],
            num_stages=2,
            layer_scale_init_value=1.0,
            num_labels=10,
        ),
        "int8",
    ),
    Specimen(
        "efficientnet",
        convolutional(
            "EfficientNetForImageClassification",
            width_coefficient=0.25,
            depth_coefficient=0.3,
            hidden_dim=320,
            num_labels=10,
        ),
        "int8",
    ),
    Specimen(
        "mobilevit",
        picture(
            "MobileViTForImageClassification",
            small=False,
            image_size=32,
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 16, 16, 16, 24, 32],
            num_attention_heads=2,
            num_labels=10,
        ),
        "int8-dynamic",
    ),
)

SPECIMENS = _VISION + _SEQUENCES + _TRANSFORMERS


def build(specimen: Specimen) -> ModelSource:
    """The specimen's source with the same weights each time."""
    torch.manual_seed(11)
    return specimen.build()
