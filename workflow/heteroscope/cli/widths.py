"""How many values the embeddings of networks have, known without building them."""

from __future__ import annotations

_WIDTHS = """
    64 small-cnn hybrid-cnn
    512 maxvit_t resnet18 resnet34
    768 convnext_small convnext_tiny swin_s swin_t swin_v2_s swin_v2_t vit_b_16 vit_b_32
    1024 convnext_base densenet121 googlenet mobilenet_v3_small shufflenet_v2_x0_5 shufflenet_v2_x1_0
    1024 shufflenet_v2_x1_5 swin_b swin_v2_b vit_l_16 vit_l_32
    1280 efficientnet_b0 efficientnet_b1 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s mnasnet0_5
    1280 mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large vit_h_14
    1408 efficientnet_b2
    1536 convnext_large efficientnet_b3
    1664 densenet169
    1792 efficientnet_b4
    1920 densenet201
    2048 efficientnet_b5 inception_v3 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d
    2048 resnext101_64x4d shufflenet_v2_x2_0 wide_resnet50_2 wide_resnet101_2
    2208 densenet161
    2304 efficientnet_b6
    2560 efficientnet_b7
    4096 alexnet vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn
"""
POOLED_WIDTHS = {
    name: int(width) for width, *names in (line.split() for line in _WIDTHS.strip().splitlines()) for name in names
}
"""Network → values of its embedding with `pooling: avg`; not of all networks."""
