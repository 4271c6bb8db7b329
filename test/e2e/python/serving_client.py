"""Clients as people have them: what the tutorials of TensorFlow Serving do, and Triton's own client.

Arguments: host:port of the gRPC side. Prints what came back as JSON.
"""

import json
import sys

import grpc
import numpy
import tritonclient.grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def predict(address):
    channel = grpc.insecure_channel(address)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "my_model"
    request.model_spec.signature_name = "serving_default"
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"What is the capital of France?"])
    tensor.tensor_shape.dim.add().size = 1
    request.inputs["text"].CopyFrom(tensor)
    result = stub.Predict(request, 10.0)
    vector = result.outputs["vector"]
    try:
        request.model_spec.name = "missing"
        stub.Predict(request, 10.0)
        code = "OK"
    except grpc.RpcError as error:
        code = error.code().name
    return {
        "text": result.outputs["output"].string_val[0].decode(),
        "dtype": types_pb2.DataType.Name(vector.dtype),
        "shape": [dim.size for dim in vector.tensor_shape.dim],
        "vector": list(vector.float_val),
        "missing": code,
    }


def infer(address, model):
    client = tritonclient.grpc.InferenceServerClient(address)
    tensor = tritonclient.grpc.InferInput("text", [1], "BYTES")
    tensor.set_data_from_numpy(numpy.array([b"What is the capital of France?"], dtype=object))
    wanted = [tritonclient.grpc.InferRequestedOutput(name) for name in ("output", "vector")]
    result = client.infer(model, [tensor], outputs=wanted)
    if model == "listed":
        # The client's own arrays are made of raw contents only.
        texts, vector = (result.get_output(name).contents for name in ("output", "vector"))
        return {"text": texts.bytes_contents[0].decode(), "vector": list(vector.fp32_contents)}
    return {
        "text": result.as_numpy("output")[0].decode(),
        "vector": result.as_numpy("vector").astype("float64").flatten().tolist(),
    }


address = sys.argv[1]
print(json.dumps({"tensorflow": predict(address), "raw": infer(address, "m"), "listed": infer(address, "listed")}))
