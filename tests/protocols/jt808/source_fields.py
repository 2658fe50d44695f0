"""The words that the captures' source has for the standard's fields, in ours.

The source gives numbers as they are on the wire, times as local ones without a zone, bytes as ``{"$bytes": hex}``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from construct import Array, IfThenElse, Renamed, Struct

from protocols.fields import BcdTime, Choice, Declaration, Flags, Scaled, Secret
from protocols.items import Items, UntilEnd

_NAMES = """
    SerialNumber answered_sequence sequence; RespondSerialNumber answered_sequence; ID answered_kind;
    RespondID answered_kind; Result result; AuthCode code; ProvinceID province_id; CityID city_id;
    ManufacturerID manufacturer_id; TerminalModel model; TerminalID terminal_id; PlateColor plate_colour;
    LicensePlateNumber plate; TerminalIMEI imei; SoftwareVersion software; RespondParamCount count; ParamTotal count;
    EnterAudioEncoding audio_encoding; EnterAudioChannelsNumber audio_channels; EnterAudioSampleRate sampling;
    EnterAudioSampleDigits sampling_depth; AudioFrameLength frame_bytes; HasSupportedAudioOutput audio_output;
    VideoEncoding video_encoding; TerminalSupportedMaxNumberOfAudioPhysicalChannels most_audio_channels;
    TerminalSupportedMaxNumberOfVideoPhysicalChannels most_video_channels; ServerIPAddr address; ServerAddr address;
    FTPAddr address; TcpPort tcp_port; UdpPort udp_port; Port port; ChannelNo channel; ChannelID channel;
    DataType data_type; StreamType stream; MediaType media_type; MemoryType store; StorageType store;
    MemoryPosition store; PlaybackWay playback; PlaySpeed speed; StartTime start_time; EndTime end_time;
    BoardNumber boarded; AlightNumber alighted; ControlCmd command; CloseAudioVideoData closed; AlarmFlag alarms;
    AudioVideoResourceTotal count; AudioVideoResourceList resources; AudioVideoResourceType media_type;
    FileSizeByte size_bytes; Username user; Password password; FileUploadPath path; TaskExecuteCondition conditions;
    UploadControl control; OriginalSerialNumber original_sequence; AgainPackageCount count; AgainPackageList indexes;
    PackageLossRate loss_percent; PlayControl command; DateTime time; ShootCommand command;
    PhotoIntervalOrVideoTime interval_s; SaveFlag save; Resolution resolution; VideoQuality quality;
    Intensity brightness; Contrast contrast; Saturation saturation; Chroma chroma; MultimediaIDNumber count;
    MultimediaIDList media_ids; MultimediaID media_id; MultimediaType media_type; MultimediaFormatEncode format;
    EventItemEncode event; MultimediaPackage data; P9208AlarmSign alarm_flag; Time time; AttachNumber attachments;
    AlarmReserve reserved; AlarmID alarm_number; Reserve reserved; InfoType information_type; AttachCount count;
    T0x1210AlarmItemList files; FileName name; FileSize size_bytes; FileType file_type; UploadResult result;
    RetransmitPacketNumber count; P0x9212RetransmitPacketList pieces; DataOffset offset; DataLength length_bytes;
    P0x8300TextFlagDetails flags; P0x8302TextFlagDetails flags; Text text; QuestionContent question;
    AnswerList answers; AnswerID answer_id; AnswerContent content; TimeInterval interval_s; TrackValidity validity_s;
    AlarmSign alarm_flags; StatusSign status; Latitude latitude; Longitude longitude; Altitude altitude; Speed speed;
    Direction course
"""
NAMES = {source: ours for source, *ours in (entry.split() for entry in _NAMES.split(";"))}
LEFT_OUT = {
    "Version",
    "BaseHandle",
    "ActiveSafetyType",
    "AlarmSignDetails",
    "StatusSignDetails",
    "Flag",
    "OtherContent",
    "ParamParseBeforeFunc",
}
"""The source's own, and what it tells a second time; its ``Flag`` of texts is 0 whatever the byte says."""


def bare(declaration: Any) -> Any:
    while isinstance(declaration, (Renamed, Secret, IfThenElse)):
        declaration = declaration.thensubcon if isinstance(declaration, IfThenElse) else declaration.subcon
    return declaration


def translated(fields: dict[str, Any], layout: Struct) -> dict[str, Any]:
    """The source's fields under our names, nested as ours are."""
    declared = {field.name: bare(field) for field in layout.subcons}
    ours: dict[str, Any] = {}
    for source, value in fields.items():
        if source in LEFT_OUT or source.endswith("Len") or is_parameter(value) or value == {}:
            continue
        if source == "T0x1211":
            ours |= translated(value, layout)
            continue
        name = next((name for name in NAMES[source] if name in declared), None)
        if name is not None:
            ours[name] = _value(value, declared[name])
        elif "location" in declared:
            inner = translated({source: value}, declared["location"])
            ours["location"] = ours.get("location", {}) | inner
        else:
            assert value in (None, ""), f"{source} has no place"
    return ours


def is_parameter(value: Any) -> bool:
    return isinstance(value, dict) and "Value" in value


def parameters(fields: dict[str, Any]) -> dict[int, bytes]:
    """The source's terminal parameters by id, as they are on the wire."""
    entries = [*fields.values(), *fields.get("OtherContent", {}).values()]
    return {entry["ID"]: _raw(entry) for entry in entries if is_parameter(entry)}


def wire(declaration: Any, value: Any) -> Any:
    """What we parsed, as numbers as they are on the wire, to be compared with the source's."""
    kind = bare(declaration)
    if isinstance(kind, Struct):
        return {field.name: wire(field, value[field.name]) for field in kind.subcons}
    if isinstance(kind, (Array, UntilEnd)):
        return [wire(kind.subcon, entry) for entry in value]
    if isinstance(kind, Items):
        return value
    if isinstance(kind, (Choice, Flags, Scaled)):
        return int.from_bytes(kind.build(value), "big")
    return value


def _value(value: Any, declaration: Declaration) -> Any:
    if isinstance(declaration, Flags) and isinstance(value, dict):
        return sum(int(bit) << at for at, bit in enumerate(value.values()))
    if isinstance(declaration, BcdTime):
        return datetime.fromisoformat(value).replace(tzinfo=UTC) - timedelta(hours=8)
    if isinstance(value, dict) and "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    if isinstance(value, dict) and "$call" in value:
        return bytes(value["args"][1])
    if isinstance(declaration, Struct):
        return translated(value, declaration)
    if isinstance(value, list):
        inner = bare(declaration.subcon)  # type: ignore[attr-defined]
        return [_value(entry, inner) for entry in value]
    return value


def _raw(entry: dict[str, Any]) -> bytes:
    value = entry["Value"]
    if isinstance(value, int):
        return value.to_bytes(entry["Len"], "big")
    return bytes.fromhex(value["$bytes"]) if isinstance(value, dict) else str(value).encode("gbk")
