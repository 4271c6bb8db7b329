"""Model servers by the published messages and grpcio: a witness that shares no code with Heddle.

Prints its ports as JSON, then one line for each call: what it was asked. Ends when its input does.
"""

import json
import sys
import time
from concurrent import futures

import grpc
import numpy
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


def tell(**what):
    print(json.dumps(what), flush=True)


def metadata(context):
    return {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}


def described(tensor):
    """A request's tensor as it is on the wire."""
    values = {
        types_pb2.DT_STRING: lambda: [text.decode() for text in tensor.string_val],
        types_pb2.DT_INT32: lambda: list(tensor.int_val),
        types_pb2.DT_INT64: lambda: list(tensor.int64_val),
        types_pb2.DT_FLOAT: lambda: list(tensor.float_val),
        types_pb2.DT_DOUBLE: lambda: list(tensor.double_val),
        types_pb2.DT_BOOL: lambda: list(tensor.bool_val),
    }[tensor.dtype]()
    return {
        "dtype": types_pb2.DataType.Name(tensor.dtype),
        "shape": [dim.size for dim in tensor.tensor_shape.dim],
        "values": [str(value) if tensor.dtype == types_pb2.DT_INT64 else value for value in values],
    }


def make(dtype, shape, **values):
    tensor = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        tensor.tensor_shape.dim.add().size = size
    return tensor


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def Predict(self, request, context):
        spec = request.model_spec
        tell(
            service="tensorflow",
            model=spec.name,
            signature=spec.signature_name,
            version=spec.version.value if spec.HasField("version") else None,
            label=spec.version_label,
            inputs={name: described(tensor) for name, tensor in request.inputs.items()},
            filter=sorted(request.output_filter),
            metadata=metadata(context),
            left=context.time_remaining(),
        )
        if spec.name == "abort":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue full: 100 % – über")
        if spec.name == "sleep":
            while context.is_active():
                time.sleep(0.01)
            tell(service="cancelled")
            return predict_pb2.PredictResponse()
        texts = list(request.inputs["text"].string_val)
        shape = [dim.size for dim in request.inputs["text"].tensor_shape.dim]
        response = predict_pb2.PredictResponse()
        if spec.name == "bytes":
            answers = [b"\xff\xfe" + text for text in texts]
        else:
            answers = [b"Answer: " + text for text in texts]
        response.outputs["output"].CopyFrom(make(types_pb2.DT_STRING, shape, string_val=answers))
        vectors = numpy.array([[len(text), 0.5, -1.25, 3e-5] for text in texts], dtype="<f4")
        if spec.name == "half":
            vector = make(types_pb2.DT_HALF, vectors.shape, tensor_content=vectors.astype("<f2").tobytes())
        elif spec.name == "packed":
            vector = make(types_pb2.DT_FLOAT, vectors.shape, tensor_content=vectors.tobytes())
        elif spec.name == "bfloat":
            bits = (vectors.view("<u4") >> 16).astype("int32").flatten().tolist()
            vector = make(types_pb2.DT_BFLOAT16, vectors.shape, half_val=bits)
        elif spec.name == "same":
            vector = make(types_pb2.DT_FLOAT, vectors.shape, float_val=[0.25])
        else:
            vector = make(types_pb2.DT_FLOAT, vectors.shape, float_val=vectors.flatten().tolist())
        response.outputs["vector"].CopyFrom(vector)
        response.outputs["tokens"].CopyFrom(make(types_pb2.DT_INT64, [], int64_val=[7]))
        return response


class Inference(service_pb2_grpc.GRPCInferenceServiceServicer):
    def ModelInfer(self, request, context):
        tell(
            service="kserve",
            model=request.model_name,
            version=request.model_version,
            parameters={name: value.WhichOneof("parameter_choice") for name, value in request.parameters.items()},
            inputs={
                tensor.name: {
                    "dtype": tensor.datatype,
                    "shape": list(tensor.shape),
                    "values": [text.decode() for text in tensor.contents.bytes_contents]
                    + list(tensor.contents.int_contents)
                    + list(tensor.contents.fp32_contents),
                }
                for tensor in request.inputs
            },
            filter=[tensor.name for tensor in request.outputs],
        )
        texts = list(request.inputs[0].contents.bytes_contents)
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        wanted = [tensor.name for tensor in request.outputs]
        answers = [b"Answer: " + text for text in texts]
        vectors = numpy.array([[len(text), 0.5, -1.25, 3e-5] for text in texts], dtype="<f4")
        for name in wanted:
            if name == "output":
                tensor = response.outputs.add(name="output", datatype="BYTES", shape=[len(texts)])
                if request.model_name == "raw":
                    parts = [len(text).to_bytes(4, "little") + text for text in answers]
                    response.raw_output_contents.append(b"".join(parts))
                else:
                    tensor.contents.bytes_contents.extend(answers)
            elif name == "vector":
                tensor = response.outputs.add(name="vector", datatype="FP32", shape=list(vectors.shape))
                if request.model_name == "raw":
                    response.raw_output_contents.append(vectors.tobytes())
                else:
                    tensor.contents.fp32_contents.extend(vectors.flatten().tolist())
        return response


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(), server)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Inference(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    secure = 0
    if len(sys.argv) == 3:
        with open(sys.argv[1], "rb") as key, open(sys.argv[2], "rb") as certificate:
            credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
        secure = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    tell(port=port, secure=secure)
    sys.stdin.read()
    server.stop(None)


main()
