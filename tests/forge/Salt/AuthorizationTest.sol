// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ContractWallet} from "../mocks/ContractWallet.sol";
import {WalletReceiver} from "../mocks/WalletReceiver.sol";
import {Salt, newSalt} from "../support/Contracts.sol";
import {SaltTest} from "./SaltTest.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice What holds for each of the four functions that transfer by authorization. Their own files say how each is
/// signed and submitted, and what it does beyond this.
abstract contract AuthorizationTest is SaltTest {
    struct Authorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// @dev The type that is signed for this kind.
    function typeHash() internal pure virtual returns (bytes32);

    /// @dev The call that submits.
    function callOf(Authorization memory authorization, bytes memory signature)
        internal
        pure
        virtual
        returns (bytes memory);

    /// @dev Who may submit.
    function submitter() internal view virtual returns (address);

    function test_authorization_movesTheValue() external {
        Authorization memory authorization = authorize(10 ether);

        submit(authorization);

        assertEq(token.balanceOf(holder.addr), FUNDS - 10 ether);
        assertEq(token.balanceOf(payee), 10 ether);
        assertTrue(token.authorizationState(holder.addr, authorization.nonce));
    }

    function test_authorization_logsItsUse_thenTheTransfer() external {
        Authorization memory authorization = authorize(10 ether);
        bytes memory signature = signed(authorization);

        vm.recordLogs();
        submit(authorization, signature);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2);
        assertEq(logs[0].topics[0], 0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5);
        assertEq(logs[0].topics[1], bytes32(uint256(uint160(holder.addr))));
        assertEq(logs[0].topics[2], authorization.nonce);
        assertEq(logs[1].topics[0], IERC20.Transfer.selector);
        assertEq(logs[1].topics[1], bytes32(uint256(uint160(holder.addr))));
        assertEq(logs[1].topics[2], bytes32(uint256(uint160(payee))));
        assertEq(logs[1].data, abi.encode(10 ether));
    }

    function test_authorization_isValidStrictlyBetweenItsTimes() external {
        Authorization memory authorization = authorize(10 ether);
        (authorization.validAfter, authorization.validBefore) = (NOW - 1, NOW + 1);

        submit(authorization);
    }

    function test_authorization_reverts_atItsStart() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.validAfter = NOW;

        expectRefusal(authorization, "Salt: authorization is not yet valid");
    }

    function test_authorization_reverts_atItsEnd() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.validBefore = NOW;

        expectRefusal(authorization, "Salt: authorization is expired");
    }

    function test_authorization_reverts_whenUsed() external {
        Authorization memory authorization = authorize(10 ether);
        submit(authorization);

        expectRefusal(authorization, "Salt: authorization is used or canceled");
    }

    function test_authorization_reverts_whenCanceled() external {
        Authorization memory authorization = authorize(10 ether);
        bytes32 cancellation = keccak256(
            abi.encode(
                keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"), holder.addr, authorization.nonce
            )
        );
        token.cancelAuthorization(holder.addr, authorization.nonce, sign(holder.privateKey, here(), cancellation));

        expectRefusal(authorization, "Salt: authorization is used or canceled");
    }

    function test_authorization_reverts_whenBalanceIsTooSmall() external {
        expectRefusal(authorize(FUNDS + 1), "Salt: transfer amount exceeds balance");
    }

    function test_authorization_reverts_whenSignatureIsMalleated() external {
        Authorization memory authorization = authorize(10 ether);

        expectRefusal(authorization, malleated(signed(authorization)), "Salt: invalid signature");
    }

    function test_authorization_reverts_whenSignedByAnother() external {
        Authorization memory authorization = authorize(10 ether);
        (, uint256 otherKey) = makeAddrAndKey("another");

        expectRefusal(authorization, sign(otherKey, here(), structHashOf(authorization)), "Salt: invalid signature");
    }

    function test_authorization_reverts_whenNobodySigned() external {
        Authorization memory authorization = authorize(0);
        authorization.from = address(0);

        expectRefusal(authorization, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)), "Salt: invalid signature");
    }

    function test_authorization_reverts_whenSignedForAnotherChain() external {
        Authorization memory authorization = authorize(10 ether);
        bytes memory signature = signed(authorization);
        vm.chainId(block.chainid + 1);

        expectRefusal(authorization, signature, "Salt: invalid signature");
    }

    function test_authorization_reverts_whenSignedForAnotherToken() external {
        Authorization memory authorization = authorize(10 ether);
        Salt other = newSalt(holder.addr, FUNDS);
        bytes memory signature =
            sign(holder.privateKey, domainSeparator(address(other), block.chainid), structHashOf(authorization));

        expectRefusal(authorization, signature, "Salt: invalid signature");
    }

    function test_authorization_reverts_whenAnythingThatWasSignedIsChanged() external {
        bytes memory signature = signed(authorize(10 ether));

        for (uint256 field = 0; field < 4; ++field) {
            Authorization memory authorization = authorize(10 ether);
            if (field == 0) authorization.value += 1;
            if (field == 1) authorization.validAfter -= 1;
            if (field == 2) authorization.validBefore += 1;
            if (field == 3) authorization.nonce = keccak256("another nonce");
            expectRefusal(authorization, signature, "Salt: invalid signature");
        }
    }

    function test_authorization_isAcceptedFromAWallet() external {
        (Authorization memory authorization,) = authorizeByWallet();

        submit(authorization, signed(authorization));

        assertEq(token.balanceOf(payee), 10 ether);
    }

    function test_authorization_reverts_whenTheWalletRefuses() external {
        (Authorization memory authorization, ContractWallet wallet) = authorizeByWallet();
        wallet.close();

        expectRefusal(authorization, signed(authorization), "Salt: invalid signature");
    }

    function test_authorization_reverts_whenTheContractIsNoWallet() external {
        Authorization memory authorization = authorize(0);
        authorization.from = address(new WalletReceiver());

        expectRefusal(authorization, signed(authorization), "Salt: invalid signature");
    }

    /// @dev EIP-7702 gives code to an account that still has its key, and the code may know no ERC-1271.
    function test_authorization_isAcceptedFromAnAccountThatHasCode() external {
        vm.etch(holder.addr, address(new WalletReceiver()).code);

        submit(authorize(10 ether));

        assertEq(token.balanceOf(payee), 10 ether);
    }

    function testFuzz_authorization_movesWhatWasSigned_once(
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) external {
        Authorization memory authorization = authorize(bound(value, 0, FUNDS));
        authorization.validAfter = bound(validAfter, 0, NOW - 1);
        authorization.validBefore = bound(validBefore, NOW + 1, type(uint256).max);
        authorization.nonce = nonce;

        submit(authorization);

        assertEq(token.balanceOf(payee), authorization.value);
        assertEq(token.balanceOf(holder.addr), FUNDS - authorization.value);
        expectRefusal(authorization, "Salt: authorization is used or canceled");
    }

    function authorize(uint256 value) internal view returns (Authorization memory) {
        return Authorization({
            from: holder.addr,
            to: payee,
            value: value,
            validAfter: NOW - 10,
            validBefore: NOW + 60,
            nonce: keccak256("nonce")
        });
    }

    function authorizeByWallet() internal returns (Authorization memory authorization, ContractWallet wallet) {
        wallet = new ContractWallet(holder.addr);
        vm.prank(holder.addr);
        assertTrue(token.transfer(address(wallet), 10 ether));
        authorization = authorize(10 ether);
        authorization.from = address(wallet);
    }

    function structHashOf(Authorization memory authorization) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                typeHash(),
                authorization.from,
                authorization.to,
                authorization.value,
                authorization.validAfter,
                authorization.validBefore,
                authorization.nonce
            )
        );
    }

    function here() internal view returns (bytes32) {
        return domainSeparator(address(token), block.chainid);
    }

    function signed(Authorization memory authorization) internal view returns (bytes memory) {
        return sign(holder.privateKey, here(), structHashOf(authorization));
    }

    function submit(Authorization memory authorization) internal {
        submit(authorization, signed(authorization));
    }

    function submit(Authorization memory authorization, bytes memory signature) internal {
        vm.prank(submitter());
        (bool done,) = address(token).call(callOf(authorization, signature));
        assertTrue(done);
    }

    function expectRefusal(Authorization memory authorization, string memory reason) internal {
        expectRefusal(authorization, signed(authorization), reason);
    }

    function expectRefusal(Authorization memory authorization, bytes memory signature, string memory reason) internal {
        vm.prank(submitter());
        (bool done, bytes memory answer) = address(token).call(callOf(authorization, signature));
        assertFalse(done);
        assertEq(answer, abi.encodeWithSignature("Error(string)", reason));
    }

    function transferTypeHash() internal pure returns (bytes32) {
        return keccak256(
            "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    }

    function receiveTypeHash() internal pure returns (bytes32) {
        return keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
    }

    /// @dev All values as the calls take them, without the signature.
    function encoded(Authorization memory a) internal pure returns (bytes memory) {
        return abi.encode(a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce);
    }

    function callWithParts(string memory name, Authorization memory authorization, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = split(signature);
        bytes4 selector = bytes4(
            keccak256(
                bytes(string.concat(name, "(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"))
            )
        );
        return bytes.concat(selector, encoded(authorization), abi.encode(v, r, s));
    }

    function callWithBytes(string memory name, Authorization memory a, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSignature(
            string.concat(name, "(address,address,uint256,uint256,uint256,bytes32,bytes)"),
            a.from,
            a.to,
            a.value,
            a.validAfter,
            a.validBefore,
            a.nonce,
            signature
        );
    }
}
