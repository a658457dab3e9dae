"""The OpenAPI document of /v1: https://spec.openapis.org/oas/v3.1.0."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from cosseg_jax.web.limits import MEGA, Limits, megabytes

FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
FILES = {"type": "array", "items": FILE}
FLAG = {"type": "string", "enum": ["true", "false"], "default": "false"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
COUNT = {"type": "integer", "minimum": 1}
TEXTS = {
    "image": "The images, in any order. Any format that Pillow reads.",
    "mask": "Masks of the object, each of its image's size: bright on the object.",
    "concept": "Concept files, of /v1/concepts or of `cosseg learn`.",
    "threshold": "The probability above which a pixel belongs to a class.",
    "instances": "Whether each connected part of a mask has an annotation of its own.",
    "label_maps": "Whether to send a palette PNG for each image as well, in base64.",
}
PROMPTS = {
    "prompts": {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"type": "array", "items": {"$ref": "#/components/schemas/Prompt"}},
        "description": "What is meant.",
    }
}
PROMPT = {
    "type": "object",
    "description": "What a user shows of the object in one image, in pixels of the upright image.",
    "required": ["photo"],
    "additionalProperties": False,
    "properties": {
        "photo": {"type": "integer", "minimum": 0, "description": "Number of the image, from 0."},
        "points": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        },
        "labels": {
            "type": "array",
            "items": {"type": "integer", "enum": [0, 1]},
            "description": "For each point 1 if it is on the object, 0 if it is not.",
        },
        "box": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "Left, top, right, bottom.",
        },
        "mask": {"type": "integer", "minimum": 0, "description": "Number of a mask, from 0."},
        "absent": {"type": "boolean", "description": "The object is not in the image."},
    },
}
ANNOTATION = {
    "type": "object",
    "description": "A mask as in COCO's JSON.",
    "required": ["segmentation", "bbox", "area", "iscrowd", "score"],
    "properties": {
        "segmentation": {
            "type": "object",
            "required": ["size", "counts"],
            "properties": {
                "size": {"type": "array", "items": COUNT, "description": "Height and width."},
                "counts": {"type": "string", "description": "COCO's compressed run lengths."},
            },
        },
        "bbox": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 4,
            "maxItems": 4,
            "description": "Left, top, width, height.",
        },
        "area": COUNT,
        "iscrowd": {"type": "integer", "const": 0},
        "score": SHARE,
    },
}
FOUND = {
    "type": "object",
    "required": ["presence", "score", "annotations"],
    "properties": {
        "presence": SHARE | {"description": "How probable it is that the class is there at all."},
        "score": SHARE | {"description": "The mean probability in the mask."},
        "annotations": {"type": "array", "items": {"$ref": "#/components/schemas/Annotation"}},
    },
}
IMAGE = {
    "type": "object",
    "required": ["name", "width", "height", "classes"],
    "properties": {
        "name": {"type": "string", "description": "Without suffix; equal ones are numbered."},
        "width": COUNT,
        "height": COUNT,
        "classes": {
            "type": "object",
            "additionalProperties": {"$ref": "#/components/schemas/FoundClass"},
        },
        "label_map": {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": "image/png",
            "description": "0 none, 1 the first class.",
        },
    },
}
MASKS = {
    "type": "object",
    "required": ["threshold", "classes", "images"],
    "properties": {
        "threshold": SHARE,
        "classes": {"type": "array", "items": {"type": "string"}},
        "categories": {
            "type": "object",
            "additionalProperties": SHARE,
            "description": "How probable it is that the group shares a category of the training.",
        },
        "confidence": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
            "description": "How probably the masks of the group, on the average, overlap with the "
            "object by more than half. It knows nothing of prompts; null if the network cannot "
            "say. Check the masks below one half.",
        },
        "images": {"type": "array", "items": {"$ref": "#/components/schemas/Image"}},
    },
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "A sentence for the user."}},
}
ERRORS = {
    "400": "A field or an image is wrong.",
    "403": "The host name is not the server's, or the request comes from another web site.",
    "408": "The upload took too long.",
    "413": "A file, or all of them together, is too large.",
    "500": "A fault of the server; its log has the details under the number in the message.",
    "503": "The server is full; try again after the seconds in the header Retry-After.",
}


def openapi_document(limits: Limits) -> dict[str, Any]:
    """The document, with the server's limits in words."""
    photos, most = f"{limits.photos} images", f"{limits.pixels / MEGA:.3g} megapixels"
    sizes = f"{megabytes(limits.file_bytes)} a file, {megabytes(limits.session_bytes)} together"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cosseg-jax",
            "version": version("cosseg-jax"),
            "description": f"Finds the object that images share. At most {photos} of {most}; "
            f"{sizes}. Requests wait for their turn and are forgotten when they are answered.",
        },
        "paths": {
            "/v1/segment": _path(
                "segment",
                "Segments the object that the images share.",
                ["image"],
                {**_files("image", "mask"), **PROMPTS, **_output_texts()},
                _json_answer(),
            ),
            "/v1/concepts": _path(
                "learn",
                "Learns a class from images, by a mask of each or by prompts.",
                ["image"],
                {
                    **_files("image", "mask"),
                    **PROMPTS,
                    "name": {"type": "string", "default": "object", "description": "The class."},
                },
                {"description": "A concept file.", "content": {"application/octet-stream": {}}},
            ),
            "/v1/apply": _path(
                "apply",
                f"Finds concepts in images, each by itself; at most {limits.classes} classes.",
                ["image", "concept"],
                {**_files("image", "concept"), **_output_texts()},
                _json_answer(),
            ),
        },
        "components": {
            "schemas": {
                "Prompt": PROMPT,
                "Annotation": ANNOTATION,
                "FoundClass": FOUND,
                "Image": IMAGE,
                "Masks": MASKS,
                "Error": ERROR,
            }
        },
    }


def _path(
    name: str, summary: str, required: Sequence[str], fields: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": fields,
    }
    operation = {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "responses": {"200": answer} | {code: _error(text) for code, text in ERRORS.items()},
    }
    return {"post": operation}


def _files(*names: str) -> dict[str, Any]:
    return {name: FILES | {"description": TEXTS[name]} for name in names}


def _output_texts() -> dict[str, Any]:
    threshold = SHARE | {"default": 0.5, "description": TEXTS["threshold"]}
    flags = {name: FLAG | {"description": TEXTS[name]} for name in ("instances", "label_maps")}
    return {"threshold": threshold, **flags}


def _json_answer() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Masks"}
    return {"description": "The masks.", "content": {"application/json": {"schema": schema}}}


def _error(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
