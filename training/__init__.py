"""Trains and measures the networks of `fer_models`, without gradio, grad-cam, facenet-pytorch."""
