#define UTS_RELEASE "9.8.7-model"
