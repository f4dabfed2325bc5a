"""The first layers of a language model in a GGUF file, as another GGUF file: half the bytes for a trial."""

from __future__ import annotations

import re
from pathlib import Path

from revela.errors import RevelaError

_LAYER = re.compile(r"blk\.(\d+)\.")


def cut_gguf(source: Path, target: Path, layers: int) -> None:
    """Keep the first `layers` layers, every byte of their weights as it is.

    Raises:
        RevelaError: there are fewer.
    """
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    count = f"{architecture}.block_count"
    have = reader.fields[count].contents()
    if layers > have:
        raise RevelaError(f"--layers {layers}: {source.name} has {have}.")
    writer = GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        # The writer adds its own version and the name of the architecture.
        if name == "general.architecture" or name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        value = layers if name == count else field.contents()
        writer.add_key_value(name, value, kind, sub_type=inner)
    for tensor in reader.tensors:
        layer = _LAYER.match(tensor.name)
        if layer is None or int(layer[1]) < layers:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
