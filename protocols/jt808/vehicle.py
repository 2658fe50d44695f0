"""What identifies a vehicle: plates and their colours.

Source: JT/T 415-2006 for the colours of 2011 and 2013, JT/T 697.7-2014 for those of 2019.
"""

from __future__ import annotations

from protocols.fields import Option

PLATE = "[\u4e00-\u9fff][A-Z][A-Z0-9\u4e00-\u9fff]{4,7}"
"""What a Chinese plate looks like: province, letter, number."""

COLOURS = {
    0: Option("none", "No plate 未上牌"),
    1: Option("blue", "Blue 蓝色"),
    2: Option("yellow", "Yellow 黄色"),
    3: Option("black", "Black 黑色"),
    4: Option("white", "White 白色"),
    5: Option("green", "Green 绿色"),
    9: Option("other", "Other 其他"),
    91: Option("farm_yellow", "Farm yellow 农黄色"),
    92: Option("farm_green", "Farm green 农绿色"),
    93: Option("yellow_green", "Yellow-green 黄绿色"),
    94: Option("gradient_green", "Gradient green 渐变绿色"),
}
